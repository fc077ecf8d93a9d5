// Matrix products of one tile: sums over k of weights (n, k) times a row's element k, onto a start.

constexpr int64_t kShort = 1;  // a matrix of so small depth shares the sum of the next: nothing was rounded yet

// Writes sums, onto a start if there is one, and begins anew.
template <class F, int M, int N, class T = typename F::Value>
inline void add_tile(Reference<T> dst, const Reference<T>* start, int column, typename F::Sum (&sum)[M][N],
                     const typename F::Packed* w, int64_t stride, const typename F::Source* const* a) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
        T* const to = dst[m] + column;
        const T* const from = start ? (*start)[m] + column : nullptr;
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) {
            const Vec<T> total = F::total(sum[m][v], w + v * kLanes<T>, stride, a[m]);
            store<T>(to + v * kLanes<T>, from ? load(from + v * kLanes<T>) + total : total);
            sum[m][v] = typename F::Sum{};
        }
    }
}

// A single row is bound by the cache from which its weights come, and processors do not read ahead past a page: 74 us
// instead of 86 for one step of an LSTM with 512 units, whose 8 MB come from the third level. Smaller formats gain nothing.
template <class F, int M, int N>
inline void fetch_ahead(const typename F::Packed* p) {
    constexpr int64_t line = 64 / int64_t(sizeof(typename F::Packed)), ahead = 4 * kPanel;
    if constexpr (M == 1 && F::kGroup == 1)
        for (int64_t i = 0; i < N * kVectorBytes / 64; ++i) __builtin_prefetch(p + ahead + i * line);
}

// Packed weights: the whole tile stands in registers. Rows of the result are always whole vectors. P products of the
// same sources go side by side. The sum of each matrix starts from zero: one that goes on from a large number loses
// digits at every step, and doubled the error of an LSTM.
template <class F, int P, int M, int N, class T = typename F::Value>
inline void packed_tile(const TileCall<T>& call, const Product* products, const Reference<T>* refs, int64_t panel,
                        int64_t first_row, int column) {
    typename F::Sum sum[P][M][N] = {};
    bool begun = false;
    for (int s = 0; s < products->segment_count; ++s) {
        const Segment& first = products->segments[s];
        const int64_t height = groups<F>(call.weights[first.weight].k);
        const int64_t stride = panel_stride<T>(call.code->width, panel);
        const int64_t apart = F::kPlanes == 1 ? 1 : plane<F>(call.weights[first.weight].k);
        const typename F::Packed* w[P];
        const typename F::Source* a[M];
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p)
            w[p] = reinterpret_cast<const typename F::Packed*>(call.weights[products[p].segments[s].weight].packed) +
                   panel * (F::kHead + height * F::kWords) * kPanel + F::kHead * stride + column;
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
            a[m] = reinterpret_cast<const typename F::Source*>(
                       call.tables[call.code->operand_count + first.source][first_row + m]) +
                   F::kSourceHead;
        for (int64_t g = 0; g < height; ++g) {
            for (int p = 0; p < P; ++p) fetch_ahead<F, M, N>(w[p] + g * stride);
#pragma GCC unroll 2
            for (int part = 0; part < F::kParts; ++part) {
                typename F::Factor row[P][N];
#pragma GCC unroll 8
                for (int p = 0; p < P; ++p)
#pragma GCC unroll 8
                    for (int v = 0; v < N; ++v)
                        row[p][v] = F::weights(w[p] + g * F::kWords * stride + v * kLanes<T>, stride, part);
#pragma GCC unroll 8
                for (int m = 0; m < M; ++m) {
                    const auto x = F::source(a[m] + g * (F::kSources / F::kPlanes), apart, part);
#pragma GCC unroll 8
                    for (int p = 0; p < P; ++p)
#pragma GCC unroll 8
                        for (int v = 0; v < N; ++v) F::multiply_add(sum[p][m][v], x, row[p][v]);
                }
            }
        }
        if (!F::kHead && height <= kShort && s + 1 < products->segment_count) continue;
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
            const int start = begun ? products[p].dst : products[p].init;
            add_tile<F, M, N>(refs[products[p].dst], start < 0 ? nullptr : &refs[start], column, sum[p], w[p], stride, a);
        }
        begun = true;
    }
}

template <class T>
using TileFunction = void (*)(const TileCall<T>&, const Product*, const Reference<T>*, int64_t, int64_t, int);

template <class F, int N>
TileFunction<typename F::Value> tile_of_rows(int rows) {
    switch (rows) {
        case 1: return packed_tile<F, 1, 1, N>;
        case 2: return packed_tile<F, 1, 2, N>;
        case 3: return packed_tile<F, 1, 3, N>;
        case 4: return packed_tile<F, 1, 4, N>;
        case 5: return packed_tile<F, 1, 5, N>;
        default: return packed_tile<F, 1, 6, N>;
    }
}

// A processor needs eight sums at once to be busy. One row has fewer in a panel of long vectors, and takes several
// products then: up to so many, which half the registers hold.
template <class T>
constexpr int kBeside = 4 * kTileVectors * kLanes<T> / int(kPanel);

template <class F, int P>
TileFunction<typename F::Value> tile_of_products(int& vectors) {
    constexpr int most = int(kPanel) / kLanes<typename F::Value>;
    vectors = vectors >= most ? most : vectors >= 2 ? 2 : 1;
    switch (vectors) {
        case 1: return packed_tile<F, P, 1, 1>;
        case 2: return packed_tile<F, P, 1, 2>;
        default: return packed_tile<F, P, 1, most>;
    }
}

// The widest tile of some rows, up to `vectors`, that the registers hold; tells its width. Few rows take more vectors.
template <class F>
TileFunction<typename F::Value> widest_tile(int rows, int& vectors) {
    const int most = rows == 1 ? 8 : rows == 2 && kTileVectors < 4 ? 4 : kTileVectors;
    vectors = vectors >= most ? most : vectors == 3 && kTileVectors < 3 ? 2 : vectors > 4 ? 4 : vectors;
    switch (vectors) {
        case 1: return tile_of_rows<F, 1>(rows);
        case 2: return tile_of_rows<F, 2>(rows);
        case 3: return tile_of_rows<F, kTileVectors < 3 ? 1 : 3>(rows);
        case 4:
            if (rows == 1) return packed_tile<F, 1, 1, 4>;
            return rows == 2 ? packed_tile<F, 1, 2, 4> : tile_of_rows<F, kTileVectors>(rows);
        default: return packed_tile<F, 1, 1, 8>;
    }
}

// The tile for a row of several products that stand together, or for one; tells how many.
template <class F>
TileFunction<typename F::Value> choose_tile(int rows, int& products, int& vectors) {
    if constexpr (kBeside<typename F::Value> > 1) {
        if (rows == 1 && products >= kBeside<typename F::Value>) {
            products = kBeside<typename F::Value>;
            return tile_of_products<F, kBeside<typename F::Value>>(vectors);
        }
        if (rows == 1 && products > 1) {
            products = 2;
            return tile_of_products<F, 2>(vectors);
        }
    }
    products = 1;
    return widest_tile<F>(rows, vectors);
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

template <class T>
void direct_product(const TileCall<T>& call, const Product& product, const Reference<T>* refs, int64_t panel,
                    int64_t first_row, TileShape<T> shape, int64_t columns) {
    const int width = shape.vectors() * kLanes<T>;
    for (int m = 0; m < shape.rows; ++m) {
        alignas(64) T sum[kPanel] = {};
        for (int j = 0; product.init >= 0 && j < width; j += kLanes<T>) store<T>(sum + j, load(refs[product.init][m] + j));
        for (int s = 0; s < product.segment_count; ++s) {
            const Weight<T>& w = call.weights[product.segments[s].weight];
            const T* source = call.tables[call.code->operand_count + product.segments[s].source][first_row + m];
            if (w.data) direct_row(w, source, panel * kPanel, columns, sum);
        }
        for (int j = 0; j < width; j += kLanes<T>) store<T>(refs[product.dst][m] + j, load(sum + j));
    }
}

template <class F, class T = typename F::Value>
void run_products(const TileCall<T>& call, const Reference<T>* refs, int64_t panel, int64_t first_row,
                  TileShape<T> shape, int64_t columns) {
    const Product* p = call.code->products;
    for (int left = call.code->product_count, products; left > 0; left -= products, p += products) {
        products = 1;
        if (call.direct) {
            direct_product<T>(call, *p, refs, panel, first_row, shape, columns);
            continue;
        }
        if constexpr (kTiled<F>) {
            tiled_product<F>(call, *p, refs, panel, first_row, shape);
        } else {
            for (int v = 0, vectors; v < shape.vectors(); v += vectors) {
                products = p->alike;
                vectors = shape.vectors() - v;
                choose_tile<F>(shape.rows, products, vectors)(call, p, refs, panel, first_row, v * kLanes<T>);
            }
        }
    }
}
