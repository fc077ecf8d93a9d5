// Products by tiles of AMX, registers of 16 rows of 64 bytes: an instruction multiplies two and adds to a third.
// It takes as long for one row as for sixteen, and a row alone waits for its weights anyway: all products are done so,
// else the bits would depend on how threads share the rows.

constexpr int kMatrixRows = 16, kMatrixWords = 16;
static_assert(kChunkRows % kMatrixRows == 0 && kReduceRows % (2 * kMatrixWords) == 0 && kPanel == 4 * kMatrixWords);

namespace matrix_tiles {

#if defined(CAROUSEL_AMX_INSTRUCTIONS)
struct alignas(64) Shapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

// All eight are as large as can be.
inline void configure() {
    Shapes shapes;
    for (int t = 0; t < 8; ++t) {
        shapes.row_bytes[t] = 4 * kMatrixWords;
        shapes.rows[t] = kMatrixRows;
    }
    asm volatile("ldtilecfg %0" : : "m"(shapes));
}

inline void release() { asm volatile("tilerelease" : : : "memory"); }

template <int tile>
inline void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}

// Rows stand `stride` words apart.
template <int tile>
inline void load(const uint32_t* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(4 * stride), "i"(tile) : "memory");
}

template <int tile>
inline void store(float* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(4 * stride), "i"(tile) : "memory");
}

// sum(m, n) += sum over pairs k of a(m, k) times b(k, n), each of two numbers in bfloat16.
template <int sum, int a, int b>
inline void multiply_add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
}
#else
// The same in plain C++, for tests on processors without such tiles (variant amx_emulated).
using Register = uint32_t[kMatrixRows][kMatrixWords];
thread_local Register registers[8];
thread_local bool configured = false;

inline Register& at(int tile) {
    if (!configured) __builtin_trap();
    return registers[tile];
}

inline void configure() {
    configured = true;
    __builtin_memset(registers, 0, sizeof registers);
}

inline void release() { configured = false; }

template <int tile>
inline void zero() {
    __builtin_memset(at(tile), 0, sizeof(Register));
}

template <int tile>
inline void load(const uint32_t* from, int64_t stride) {
    for (int m = 0; m < kMatrixRows; ++m) __builtin_memcpy(at(tile)[m], from + m * stride, sizeof at(tile)[m]);
}

template <int tile>
inline void store(float* to, int64_t stride) {
    for (int m = 0; m < kMatrixRows; ++m) __builtin_memcpy(to + m * stride, at(tile)[m], sizeof at(tile)[m]);
}

inline float as_float(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

template <int sum, int a, int b>
inline void multiply_add() {
    const Register &left = at(a), &right = at(b);
    for (int m = 0; m < kMatrixRows; ++m)
        for (int n = 0; n < kMatrixWords; ++n) {
            float first = 0, second = 0;
            for (int k = 0; k < kMatrixWords; ++k) {
                first += as_float(left[m][k] << 16) * as_float(right[k][n] << 16);
                second += as_float(left[m][k] & 0xffff0000u) * as_float(right[k][n] & 0xffff0000u);
            }
            const float total = as_float(at(sum)[m][n]) + (first + second);
            __builtin_memcpy(&at(sum)[m][n], &total, sizeof total);
        }
}
#endif

// Registers are this thread's for as long as an object of this lives.
struct Lease {
    Lease() { configure(); }
    ~Lease() { release(); }
    Lease(const Lease&) = delete;
};

}  // namespace matrix_tiles

// A format of pairs of bfloat16, multiplied by such tiles. Its packed weights are as they must be in a tile.
template <class F>
struct Tiled : F {};

template <class F>
constexpr bool kTiled = false;
template <class F>
constexpr bool kTiled<Tiled<F>> = true;

// Rows of a tile of a phase.
template <class F>
constexpr int64_t kHeight = kTiled<F> ? kMatrixRows : kTileRows;

template <class F>
struct Registers {};
template <class F>
struct Registers<Tiled<F>> : matrix_tiles::Lease {};

inline void zero_sums() {
    using namespace matrix_tiles;
    zero<0>(), zero<1>(), zero<2>(), zero<3>();
}

inline void store_sums(float* to) {
    using namespace matrix_tiles;
    store<0>(to, kPanel), store<1>(to + 16, kPanel), store<2>(to + 32, kPanel), store<3>(to + 48, kPanel);
}

// Sums are registers 0 to 3, rows 4 and 5, weights 6 and 7: 16 groups of one vector of columns, then of the next.
template <class F, int V = 0>
inline void multiply_block(const uint32_t* weights, int64_t stride, int vectors) {
    using namespace matrix_tiles;
    if (V >= vectors) return;
    load<6>(weights + V * kMatrixWords, F::kWords * stride);
    multiply_add<V, 4, 6>();
    if constexpr (F::kWords == 2) {
        load<7>(weights + stride + V * kMatrixWords, F::kWords * stride);
        multiply_add<V, 5, 6>();
        multiply_add<V, 4, 7>();
    }
    if constexpr (V + 1 < 4) multiply_block<F, V + 1>(weights, stride, vectors);
}

// Sums of 16 rows and one panel. The last block of weights may have fewer groups than a tile has rows: what follows them
// is another's, and may be NaN, which zeros in the rows do not silence.
template <class F>
void multiply_tiles(const uint32_t* rows, int64_t k, const uint32_t* weights, int64_t stride, int vectors, float* sums) {
    using namespace matrix_tiles;
    zero_sums();
    const int64_t height = groups<F>(k);
    for (int64_t g = 0; g < height; g += kMatrixWords) {
        load<4>(rows + g, converted<F>(k));
        if constexpr (F::kWords == 2) load<5>(rows + plane<F>(k) + g, converted<F>(k));
        const uint32_t* block = weights + g * F::kWords * stride;
        if (height - g >= kMatrixWords) {
            multiply_block<F>(block, stride, vectors);
        } else {
            alignas(64) uint32_t last[kMatrixWords * F::kWords * kPanel] = {};
            __builtin_memcpy(last, block, size_t((height - g) * F::kWords * stride) * sizeof *last);
            multiply_block<F>(last, stride, vectors);
        }
    }
    store_sums(sums);
}

// Converted rows follow each other, and a whole tile of them can be read: the buffer has room for kChunkRows. What comes
// of those past the last goes nowhere.
template <class F>
void tiled_product(const TileCall<float>& call, const Product& product, const Reference<float>* refs, int64_t panel,
                   int64_t first_row, TileShape<float> shape) {
    alignas(64) float sums[kMatrixRows * kPanel];
    const int64_t stride = panel_stride<float>(call.code->width, panel);
    for (int s = 0; s < product.segment_count; ++s) {
        const Weight<float>& w = call.weights[product.segments[s].weight];
        const auto* rows = reinterpret_cast<const uint32_t*>(
            call.tables[call.code->operand_count + product.segments[s].source][first_row]);
        const auto* weights = reinterpret_cast<const uint32_t*>(w.packed) + panel * groups<F>(w.k) * F::kWords * kPanel;
        multiply_tiles<F>(rows, w.k, weights, stride, shape.vectors(), sums);
        const int start = s ? product.dst : product.init;
        for (int m = 0; m < shape.rows; ++m)
            for (int j = 0; j < shape.vectors() * kLanes<float>; j += kLanes<float>) {
                const Vec<float> total = load(sums + m * kPanel + j);
                store<float>(refs[product.dst][m] + j, start < 0 ? total : load(refs[start][m] + j) + total);
            }
    }
}
