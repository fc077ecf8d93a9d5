// Packing weights into panels.

// A square of L x L elements, row n of which stands in memory, becomes L rows of the panel.
template <class T>
void transpose_square(const T* from, int64_t stride_n, T* to) {
    Vec<T> rows[kLanes<T>];
#pragma GCC unroll 16
    for (int n = 0; n < kLanes<T>; ++n) rows[n] = load(from + n * stride_n);
    transpose<T>(rows);
#pragma GCC unroll 16
    for (int k = 0; k < kLanes<T>; ++k) store<T>(to + k * kPanel, rows[k]);
}

template <class T>
void pack_general(const Weight<T>& w, const T* base, int64_t n0, int64_t n1, int64_t k0, int64_t k1, T* out) {
    for (int64_t n = n0; n < n1; ++n)
        for (int64_t k = k0; k < k1; ++k) out[k * kPanel + n] = base[n * w.stride_n + k * w.stride_k];
}

// Packs one panel of a weight; columns past its width become zeros.
template <class T>
void pack_panel(const Weight<T>& w, int64_t panel) {
    constexpr int64_t L = kLanes<T>;
    T* out = w.packed + panel * w.k * kPanel;
    const T* base = w.data + panel * kPanel * w.stride_n;
    const int64_t columns = w.n - panel * kPanel < kPanel ? w.n - panel * kPanel : kPanel;
    if (columns < kPanel)
        for (int64_t k = 0; k < w.k; ++k)
            for (int64_t n = columns; n < kPanel; ++n) out[k * kPanel + n] = 0;
    if (w.stride_n == 1) {
        for (int64_t k = 0; k < w.k; ++k) copy_row(out + k * kPanel, base + k * w.stride_k, columns);
        return;
    }
    const int64_t whole_n = w.stride_k == 1 ? columns / L * L : 0, whole_k = w.k / L * L;
    for (int64_t k = 0; k < whole_k; k += L) {
        for (int64_t n = 0; n < whole_n; n += L)
            transpose_square(base + n * w.stride_n + k, w.stride_n, out + k * kPanel + n);
        pack_general(w, base, whole_n, columns, k, k + L, out);
    }
    pack_general(w, base, 0, columns, whole_k, w.k, out);
}
