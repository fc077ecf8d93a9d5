// Matrix products of one tile: sums over k of weights (n, k) times a row's element k, onto a start.

template <class T, int M, int N>
inline void add_tile(Reference<T> dst, const Reference<T>* start, int column, const Vec<T> (&sum)[M][N]) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) {
            const int at = column + v * kLanes<T>;
            store<T>(dst[m] + at, start ? load((*start)[m] + at) + sum[m][v] : sum[m][v]);
        }
}

// Packed weights: the whole tile stands in registers. Rows of the result are always whole vectors. The sum of each matrix
// starts from zero: one that goes on from a large number loses digits at every step, and doubled the error of an LSTM.
template <class F, int M, int N, class T = typename F::Value>
inline void packed_tile(const Segment* segments, int count, const Weight<T>* weights, T* const* const* sources,
                        int64_t panel, int64_t first_row, int column, Reference<T> dst, const Reference<T>* init) {
    const Reference<T>* start = init;
    for (int s = 0; s < count; ++s) {
        const Weight<T>& w = weights[segments[s].weight];
        if (!w.data) continue;
        Vec<T> sum[M][N] = {};
        const int64_t height = groups<F>(w.k);
        const auto* p = reinterpret_cast<const typename F::Packed*>(w.packed) + panel * height * kPanel + column;
        const typename F::Source* a[M];
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
            a[m] = reinterpret_cast<const typename F::Source*>(sources[segments[s].source][first_row + m]);
        for (int64_t g = 0; g < height; ++g, p += kPanel)
#pragma GCC unroll 2
            for (int part = 0; part < F::kParts; ++part) {
                typename F::Factor row[N];
#pragma GCC unroll 8
                for (int v = 0; v < N; ++v) row[v] = F::weights(p + v * kLanes<T>, part);
#pragma GCC unroll 8
                for (int m = 0; m < M; ++m) {
                    const auto x = F::source(a[m] + g * F::kSources, 1, part);
#pragma GCC unroll 8
                    for (int v = 0; v < N; ++v) F::multiply_add(sum[m][v], x, row[v]);
                }
            }
        add_tile<T, M, N>(dst, start, column, sum);
        start = &dst;
    }
    if (start != &dst) add_tile<T, M, N>(dst, start, column, {});
}

template <class T>
using TileFunction = void (*)(const Segment*, int, const Weight<T>*, T* const* const*, int64_t, int64_t, int,
                              Reference<T>, const Reference<T>*);

template <class F, int N>
TileFunction<typename F::Value> tile_of_rows(int rows) {
    switch (rows) {
        case 1: return packed_tile<F, 1, N>;
        case 2: return packed_tile<F, 2, N>;
        case 3: return packed_tile<F, 3, N>;
        case 4: return packed_tile<F, 4, N>;
        case 5: return packed_tile<F, 5, N>;
        default: return packed_tile<F, 6, N>;
    }
}

// The widest tile of some rows, up to `vectors`, that the registers hold; tells its width. Few rows take more vectors:
// a processor needs about eight sums at once to be busy.
template <class F>
TileFunction<typename F::Value> widest_tile(int rows, int& vectors) {
    const int most = rows == 1 ? 8 : rows == 2 && kTileVectors < 4 ? 4 : kTileVectors;
    vectors = vectors >= most ? most : vectors == 3 && kTileVectors < 3 ? 2 : vectors > 4 ? 4 : vectors;
    switch (vectors) {
        case 1: return tile_of_rows<F, 1>(rows);
        case 2: return tile_of_rows<F, 2>(rows);
        case 3: return tile_of_rows<F, kTileVectors < 3 ? 1 : 3>(rows);
        case 4:
            if (rows == 1) return packed_tile<F, 1, 4>;
            return rows == 2 ? packed_tile<F, 2, 4> : tile_of_rows<F, kTileVectors>(rows);
        default: return packed_tile<F, 1, 8>;
    }
}

// Weights where they lie, for calls of so few rows that packing would cost more than it saves.

// The products of L rows of the matrix, each contiguous, with one source: L sums side by side, whose lanes are added by
// turning the square around.
template <class T>
inline Vec<T> dot_rows(const T* rows, int64_t stride, const T* source, int64_t n) {
    constexpr int L = kLanes<T>;
    Vec<T> sum[L] = {};
    int64_t k = 0;
    for (; k + L <= n; k += L) {
        const Vec<T> x = load(source + k);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) sum[i] += x * load(rows + i * stride + k);
    }
    if (k < n) {
        const Vec<T> x = load_part(source + k, n - k);
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) sum[i] += x * load_part(rows + i * stride + k, n - k);
    }
    transpose<T>(sum);
#pragma GCC unroll 4
    for (int step = L / 2; step > 0; step /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < step; ++i) sum[i] += sum[i + step];
    return sum[0];
}

template <class T>
inline T dot(const T* a, const T* b, int64_t n) {
    Vec<T> sum{};
    for (int64_t k = 0; k < n; k += kLanes<T>)
        sum += n - k < kLanes<T> ? load_part(a + k, n - k) * load_part(b + k, n - k) : load(a + k) * load(b + k);
    return add_lanes<T>(sum);
}

template <class T>
inline void add_scaled(T* out, T x, const T* row, int64_t n) {
    int64_t j = 0;
    for (; j + kLanes<T> <= n; j += kLanes<T>) store<T>(out + j, load(out + j) + x * load(row + j));
    for (; j < n; ++j) out[j] += x * row[j];
}

// Adds one weight's product to `columns` sums of one row, from column `first` on.
template <class T>
void direct_row(const Weight<T>& w, const T* source, int64_t first, int64_t columns, T* sum) {
    const T* base = w.data + first * w.stride_n;
    if (w.stride_k == 1) {
        int64_t n = 0;
        for (; n + kLanes<T> <= columns; n += kLanes<T>)
            store<T>(sum + n, load(sum + n) + dot_rows(base + n * w.stride_n, w.stride_n, source, w.k));
        for (; n < columns; ++n) sum[n] += dot(base + n * w.stride_n, source, w.k);
    } else if (w.stride_n == 1) {
        for (int64_t k = 0; k < w.k; ++k) add_scaled(sum, source[k], base + k * w.stride_k, columns);
    } else {
        for (int64_t n = 0; n < columns; ++n)
            for (int64_t k = 0; k < w.k; ++k) sum[n] += base[n * w.stride_n + k * w.stride_k] * source[k];
    }
}

template <class F, class T = typename F::Value>
void run_product(const TileCall<T>& call, const Product& product, const Reference<T>* refs, int64_t panel,
                 int64_t first_row, TileShape<T> shape, int64_t columns) {
    const TileCode& code = *call.code;
    T* const* const* sources = call.tables + code.operand_count;
    const Reference<T> dst = refs[product.dst];
    const Reference<T>* init = product.init < 0 ? nullptr : &refs[product.init];
    if (call.direct) {
        for (int m = 0; m < shape.rows; ++m) {
            alignas(64) T sum[kPanel] = {};
            for (int j = 0; init && j < shape.vectors * kLanes<T>; j += kLanes<T>) store<T>(sum + j, load((*init)[m] + j));
            for (int s = 0; s < product.segment_count; ++s) {
                const Weight<T>& w = call.weights[product.segments[s].weight];
                if (w.data) direct_row(w, sources[product.segments[s].source][first_row + m], panel * kPanel, columns, sum);
            }
            for (int j = 0; j < shape.vectors * kLanes<T>; j += kLanes<T>) store<T>(dst[m] + j, load(sum + j));
        }
        return;
    }
    for (int v = 0, vectors; v < shape.vectors; v += vectors) {
        vectors = shape.vectors - v;
        const TileFunction<T> tile = widest_tile<F>(shape.rows, vectors);
        tile(product.segments, product.segment_count, call.weights, sources, panel, first_row, v * kLanes<T>, dst, init);
    }
}
