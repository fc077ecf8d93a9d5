// Packing weights into panels.

// A square of L x L packed elements, row n of which stands in memory, becomes L rows of the panel.
template <class F>
void transpose_square(const typename F::Value* from, int64_t stride_n, typename F::Packed* to, int64_t stride) {
    using T = typename F::Value;
    for (int word = 0; word < F::kWords; ++word) {
        Vec<T> rows[kLanes<T>];
#pragma GCC unroll 16
        for (int n = 0; n < kLanes<T>; ++n) rows[n] = F::neighbours(from + n * stride_n, word);
        transpose<T>(rows);
#pragma GCC unroll 16
        for (int g = 0; g < kLanes<T>; ++g)
            store<T>(reinterpret_cast<T*>(to + (g * F::kWords + word) * stride), rows[g]);
    }
}

template <class F>
void pack_general(const Weight<typename F::Value>& w, const typename F::Value* base, int64_t n0, int64_t n1, int64_t g0,
                  int64_t g1, typename F::Packed* out, int64_t stride) {
    for (int64_t n = n0; n < n1; ++n)
        for (int64_t g = g0; g < g1; ++g) {
            const int64_t k = g * F::kGroup;
            for (int word = 0; word < F::kWords; ++word)
                out[(g * F::kWords + word) * stride + n] =
                    F::pack(base + n * w.stride_n + k * w.stride_k, w.stride_k, w.k - k, word);
        }
}

template <class F, class T = typename F::Value>
void pack_columns(const Weight<T>& w, const T* base, int64_t columns, int64_t height, typename F::Packed* out,
                  int64_t stride) {
    constexpr int64_t L = kLanes<T>;
    if (w.stride_n == 1) {
        for (int64_t g = 0; g < height; ++g) {
            const T* rows[F::kGroup];
            for (int64_t i = 0, k = g * F::kGroup; i < F::kGroup; ++i, ++k) rows[i] = k < w.k ? base + k * w.stride_k : nullptr;
            for (int word = 0; word < F::kWords; ++word)
                F::pack_rows(rows, columns, word, out + (g * F::kWords + word) * stride);
        }
        return;
    }
    const int64_t whole_n = w.stride_k == 1 ? columns / L * L : 0, whole_g = w.k / (L * F::kGroup) * L;
    for (int64_t g = 0; g < whole_g; g += L) {
        for (int64_t n = 0; n < whole_n; n += L)
            transpose_square<F>(base + n * w.stride_n + g * F::kGroup, w.stride_n, out + g * F::kWords * stride + n,
                                stride);
        pack_general<F>(w, base, whole_n, columns, g, g + L, out, stride);
    }
    pack_general<F>(w, base, 0, columns, whole_g, height, out, stride);
}

// Packs one panel of a weight; columns past its width become zeros, and all of them where there is no weight.
template <class F>
void pack_panel(const Weight<typename F::Value>& w, int64_t panel) {
    using T = typename F::Value;
    const int64_t height = F::kHead + groups<F>(w.k) * F::kWords;
    auto* out = reinterpret_cast<typename F::Packed*>(w.packed) + panel * height * kPanel;
    const int64_t given = w.data ? w.n - panel * kPanel : 0, columns = given < kPanel ? given : kPanel;
    const int64_t stride = panel_stride<T>(w.n, panel);
    for (int64_t g = 0; g < height; ++g)
        for (int64_t n = columns; n < stride; ++n) out[g * stride + n] = 0;
    if (!columns) return;
    const T* base = w.data + panel * kPanel * w.stride_n;
    if constexpr (F::kHead > 0)
        for (int64_t n = 0; n < columns; ++n) F::pack_column(base + n * w.stride_n, w.stride_k, w.k, out + n, stride);
    else
        pack_columns<F>(w, base, columns, groups<F>(w.k), out, stride);
}
