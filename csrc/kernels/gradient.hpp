// Gradients of parameters: sums over many rows at once.

// The rows of one group, those past the end missing.
template <class F, class T = typename F::Value>
inline void rows_of_group(T* const* rows, int64_t count, int64_t g, int64_t first, const T* (&found)[F::kGroup]) {
    for (int64_t i = 0, r = g * F::kGroup; i < F::kGroup; ++i, ++r) found[i] = r < count ? rows[r] + first : nullptr;
}

template <class F, class T = typename F::Value>
void gather_panel(T* const* rows, int64_t count, int64_t first, int64_t columns, T* out) {
    auto* panel = reinterpret_cast<typename F::Packed*>(out);
    const T* group[F::kGroup];
    constexpr int64_t block = kTiled<F> ? kMatrixWords : 1;
    for (int64_t g = 0; g < (groups<F>(count) + block - 1) / block * block; ++g) {
        rows_of_group<F>(rows, count, g, first, group);
        for (int word = 0; word < F::kWords; ++word, panel += kPanel) {
            F::pack_rows(group, columns, word, panel);
            for (int64_t j = columns; j < kPanel; ++j) panel[j] = 0;
        }
    }
}

// For tiles, whose rows go along what is summed, every column becomes a line of kLine groups, filled up with zeros to
// whole tiles.
constexpr int64_t kLine = kReduceRows / 2;

template <class F>
void gather_tiled_lines(float* const* rows, int64_t count, int64_t first, int64_t columns, int64_t stride,
                        uint32_t* out) {
    const float* group[F::kGroup];
    for (int word = 0; word < F::kWords; ++word, out += stride * kLine)
        for (int64_t i = 0; i < columns; i += kMatrixRows)
            for (int64_t g = 0; g < groups<F>(count); g += kMatrixWords) {
                Vec<float> square[kLanes<float>];
                for (int64_t k = 0; k < kMatrixWords; ++k) {
                    rows_of_group<F>(rows, count, g + k, first + i, group);
                    const int64_t left = columns - i;
                    F::pack_rows(group, left < kMatrixRows ? left : kMatrixRows, word,
                                 reinterpret_cast<uint32_t*>(&square[k]));
                }
                transpose<float>(square);
                for (int64_t m = 0; m < kMatrixRows; ++m)
                    store<float>(reinterpret_cast<float*>(out + (i + m) * kLine + g), square[m]);
            }
}

// The same columns of all rows, group by group: kSources lines each, `stride` elements apart.
template <class F, class T = typename F::Value>
void gather_lines(T* const* rows, int64_t count, int64_t first, int64_t columns, int64_t stride, T* out,
                  T** lines_of_groups) {
    auto* lines = reinterpret_cast<typename F::Source*>(out);
    if constexpr (kTiled<F>) {
        lines_of_groups[0] = out;
        return gather_tiled_lines<F>(rows, count, first, columns, stride, lines);
    }
    const T* group[F::kGroup];
    for (int64_t g = 0; g < groups<F>(count); ++g, lines += F::kSources * stride) {
        rows_of_group<F>(rows, count, g, first, group);
        F::convert_rows(group, columns, stride, lines);
        lines_of_groups[g] = reinterpret_cast<T*>(lines);
    }
}

template <class T, int N>
inline void add_to_gradient(const MatrixGradientCall<T>& call, int64_t i, int64_t column, const Vec<T>* sum) {
    for (int v = 0; v < N; ++v) {
        const int64_t j = column + v * kLanes<T>, left = call.columns - j;
        T* out = call.gradient + i * call.stride_i + j * call.stride_j;
        if (call.stride_j == 1 && left >= kLanes<T>) {
            store<T>(out, call.fresh ? sum[v] : load(out) + sum[v]);
            continue;
        }
        T lanes[kLanes<T>];
        store<T>(lanes, sum[v]);
        for (int64_t k = 0; k < left && k < kLanes<T>; ++k) {
            T& element = out[k * call.stride_j];
            element = call.fresh ? lanes[k] : element + lanes[k];
        }
    }
}

// One register tile: M columns of one side by N vectors of the other, summed over all rows. The elements of the first
// are read one at a time where they lie: six of a row stand in one line of the cache, or two.
template <class F, int M, int N, class T = typename F::Value>
void gradient_tile(const MatrixGradientCall<T>& call, int64_t i, int64_t column) {
    Vec<T> sum[M][N] = {};
    for (int m = 0; m < M; ++m)  // the gradient's lines arrive while the sums are formed
        for (int v = 0; v < N; ++v)
            __builtin_prefetch(call.gradient + (i + m) * call.stride_i + (column + v * kLanes<T>) * call.stride_j, 1);
    for (int64_t g = 0; g < groups<F>(call.rows); ++g) {
        const auto* a = reinterpret_cast<const typename F::Source*>(call.a[g]) + call.a_first + i;
        const auto* b = reinterpret_cast<const typename F::Packed*>(call.b[g * F::kWords]) + call.b_first + column;
#pragma GCC unroll 2
        for (int part = 0; part < F::kParts; ++part) {
            typename F::Factor row[N];
#pragma GCC unroll 8
            for (int v = 0; v < N; ++v) row[v] = F::weights(b + v * kLanes<T>, kPanel, part);
#pragma GCC unroll 8
            for (int m = 0; m < M; ++m) {
                const auto x = F::source(a + m, call.a_stride, part);
#pragma GCC unroll 8
                for (int v = 0; v < N; ++v) F::multiply_add(sum[m][v], x, row[v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) add_to_gradient<T, N>(call, i + m, column, sum[m]);
}

template <class F, int M, class T = typename F::Value>
void gradient_strip(const MatrixGradientCall<T>& call, int64_t i) {
    constexpr int N = kTileVectors;
    const int vectors = int((call.columns + kLanes<T> - 1) / kLanes<T>);
    int v = 0;
    for (; v + N <= vectors; v += N) gradient_tile<F, M, N>(call, i, v * kLanes<T>);
    for (; v + 2 <= vectors; v += 2) gradient_tile<F, M, 2>(call, i, v * kLanes<T>);
    for (; v < vectors; ++v) gradient_tile<F, M, 1>(call, i, v * kLanes<T>);
}

template <class F>
void add_tiled_gradient(const MatrixGradientCall<float>& call) {
    using namespace matrix_tiles;
    alignas(64) float sums[kMatrixRows * kPanel];
    const int vectors = int((call.columns + kLanes<float> - 1) / kLanes<float>);
    const auto* a = reinterpret_cast<const uint32_t*>(call.a[0]);
    const auto* b = reinterpret_cast<const uint32_t*>(call.b[0]) + call.b_first;
    const Lease registers;
    for (int64_t i = 0; i < call.a_columns; i += kMatrixRows, a += kMatrixRows * kLine) {
        zero_sums();
        for (int64_t g = 0; g < groups<F>(call.rows); g += kMatrixWords) {
            load<4>(a + g, kLine);
            if constexpr (F::kWords == 2) load<5>(a + call.a_stride * kLine + g, kLine);
            multiply_block<F>(b + g * F::kWords * kPanel, kPanel, vectors);
        }
        store_sums(sums);
        for (int64_t m = 0; m < kMatrixRows && i + m < call.a_columns; ++m)
            for (int v = 0; v < vectors; ++v) {
                const Vec<float> sum = load(sums + m * kPanel + v * kLanes<float>);
                add_to_gradient<float, 1>(call, i + m, v * kLanes<float>, &sum);
            }
    }
}

template <class F>
void add_matrix_gradient(const MatrixGradientCall<typename F::Value>& call) {
    int64_t i = 0;
    for (; i + kTileRows <= call.a_columns; i += kTileRows) gradient_strip<F, kTileRows>(call, i);
    switch (call.a_columns - i) {
        case 1: return gradient_strip<F, 1>(call, i);
        case 2: return gradient_strip<F, 2>(call, i);
        case 3: return gradient_strip<F, 3>(call, i);
        case 4: return gradient_strip<F, 4>(call, i);
        case 5: return gradient_strip<F, 5>(call, i);
    }
}

// N vectors of columns at a time, so that whole cache lines of a row are used together. A few rows are summed by
// themselves before they are added to the rest: a hundred sums one after the other would lose a digit.
template <class T, int N>
void vector_gradient_columns(const VectorGradientCall<T>& call, int64_t j, int64_t n) {
    auto element = [&](T* const* rows, bool broadcast, int64_t r, int v) {
        if (broadcast) return all(rows[r][0]);
        const T* at = rows[r] + j + v * kLanes<T>;
        return n < kLanes<T> ? load_part(at, n) : load(at);
    };
    constexpr int64_t kFew = 16;
    Vec<T> sum[N] = {};
    for (int64_t first = 0; first < call.rows; first += kFew) {
        Vec<T> few[N] = {};
        for (int64_t r = first; r < call.rows && r < first + kFew; ++r)
#pragma GCC unroll 8
            for (int v = 0; v < N; ++v) {
                Vec<T> x = element(call.a, call.a_broadcast, r, v);
                few[v] += call.b ? x * element(call.b, call.b_broadcast, r, v) : x;
            }
        for (int v = 0; v < N; ++v) sum[v] += few[v];
    }
    for (int v = 0; v < N; ++v) {
        T* out = call.gradient + j + v * kLanes<T>;
        if (n < kLanes<T>)
            store_part<T>(out, load_part(out, n) + sum[v], n);
        else
            store<T>(out, load(out) + sum[v]);
    }
}

template <class T>
void add_vector_gradient(const VectorGradientCall<T>& call) {
    constexpr int64_t L = kLanes<T>;
    int64_t j = call.first;
    for (; j + 8 * L <= call.last; j += 8 * L) vector_gradient_columns<T, 8>(call, j, 8 * L);
    for (; j + 4 * L <= call.last; j += 4 * L) vector_gradient_columns<T, 4>(call, j, 4 * L);
    for (; j + L <= call.last; j += L) vector_gradient_columns<T, 1>(call, j, L);
    if (j < call.last) vector_gradient_columns<T, 1>(call, j, call.last - j);
}
