// Gradients of parameters: sums over many rows at once.

template <class T>
void gather_panel(T* const* rows, int64_t count, int64_t first, int64_t columns, T* panel) {
    for (int64_t r = 0; r < count; ++r, panel += kPanel) {
        copy_row(panel, rows[r] + first, columns);
        for (int64_t j = columns; j < kPanel; ++j) panel[j] = 0;
    }
}

template <class T>
void gather_strips(T* const* rows, int64_t count, int64_t first, int64_t columns, T* strips) {
    const int64_t whole = columns / kTileRows, rest = columns % kTileRows;
    T* tail = strips + whole * kTileRows * count;
    for (int64_t r = 0; r < count; ++r) {
        const T* from = rows[r] + first;
        for (int64_t s = 0; s < whole; ++s, from += kTileRows) {
            T* to = strips + (s * count + r) * kTileRows;
#pragma GCC unroll 8
            for (int64_t m = 0; m < kTileRows; ++m) to[m] = from[m];
        }
        for (int64_t m = 0; m < rest; ++m) tail[r * rest + m] = from[m];
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

// One register tile: M columns of a strip by N vectors of the panel, summed over all rows.
template <class T, int M, int N>
void gradient_tile(const MatrixGradientCall<T>& call, const T* strip, int64_t i, int64_t column) {
    Vec<T> sum[M][N] = {};
    const T* panel = call.panel + column;
    for (int m = 0; m < M; ++m)  // the gradient's lines arrive while the sums are formed
        for (int v = 0; v < N; ++v)
            __builtin_prefetch(call.gradient + (i + m) * call.stride_i + (column + v * kLanes<T>) * call.stride_j, 1);
    for (int64_t r = 0; r < call.rows; ++r, strip += M, panel += kPanel) {
        Vec<T> row[N];
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) row[v] = load(panel + v * kLanes<T>);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
            Vec<T> x = all(strip[m]);
#pragma GCC unroll 8
            for (int v = 0; v < N; ++v) sum[m][v] += x * row[v];
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) add_to_gradient<T, N>(call, i + m, column, sum[m]);
}

template <class T, int M>
void gradient_strip(const MatrixGradientCall<T>& call, const T* strip, int64_t i) {
    constexpr int N = kTileVectors;
    const int vectors = int((call.columns + kLanes<T> - 1) / kLanes<T>);
    int v = 0;
    for (; v + N <= vectors; v += N) gradient_tile<T, M, N>(call, strip, i, v * kLanes<T>);
    for (; v + 2 <= vectors; v += 2) gradient_tile<T, M, 2>(call, strip, i, v * kLanes<T>);
    for (; v < vectors; ++v) gradient_tile<T, M, 1>(call, strip, i, v * kLanes<T>);
}

template <class T>
void add_matrix_gradient(const MatrixGradientCall<T>& call) {
    int64_t i = 0;
    for (; i + kTileRows <= call.strip_columns; i += kTileRows)
        gradient_strip<T, kTileRows>(call, call.strips + i * call.rows, i);
    const T* rest = call.strips + i * call.rows;
    switch (call.strip_columns - i) {
        case 1: return gradient_strip<T, 1>(call, rest, i);
        case 2: return gradient_strip<T, 2>(call, rest, i);
        case 3: return gradient_strip<T, 3>(call, rest, i);
        case 4: return gradient_strip<T, 4>(call, rest, i);
        case 5: return gradient_strip<T, 5>(call, rest, i);
    }
}

// N vectors of columns at a time, so that whole cache lines of a row are used together.
template <class T, int N>
void vector_gradient_columns(const VectorGradientCall<T>& call, int64_t j, int64_t n) {
    auto element = [&](T* const* rows, bool broadcast, int64_t r, int v) {
        if (broadcast) return all(rows[r][0]);
        const T* at = rows[r] + j + v * kLanes<T>;
        return n < kLanes<T> ? load_part(at, n) : load(at);
    };
    Vec<T> sum[N] = {};
    for (int64_t r = 0; r < call.rows; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) {
            Vec<T> x = element(call.a, call.a_broadcast, r, v);
            sum[v] += call.b ? x * element(call.b, call.b_broadcast, r, v) : x;
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
    for (; j + 4 * L <= call.last; j += 4 * L) vector_gradient_columns<T, 4>(call, j, 4 * L);
    for (; j + L <= call.last; j += L) vector_gradient_columns<T, 1>(call, j, L);
    if (j < call.last) vector_gradient_columns<T, 1>(call, j, call.last - j);
}
