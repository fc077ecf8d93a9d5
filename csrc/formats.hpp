// Formats: how the factors of products are held. Sums are of type Value in all of them.
//
// A product runs along groups of kGroup inner elements. The weights of a group are one packed element a column; a row's
// elements of a group are kSources elements, which are multiplied in kParts steps.

template <class T>
struct Plain {
    using Value = T;
    using Packed = T;
    using Source = T;
    using Factor = Vec<T>;
    static constexpr int64_t kGroup = 1, kSources = 1;
    static constexpr int kParts = 1;

    static Factor weights(const Packed* p, int) { return load(p); }
    static Factor source(const Source* p, int64_t, int) { return all(*p); }
    static void multiply_add(Vec<T>& sum, Factor x, Factor row) { sum += x * row; }

    static Vec<T> neighbours(const T* from) { return load(from); }
    static Packed pack(const T* from, int64_t, int64_t) { return *from; }
    static void pack_rows(const T* const* rows, int64_t n, Packed* out) { copy_row(out, rows[0], n); }
    static void convert_rows(const T* const* rows, int64_t n, int64_t, Source* out) { copy_row(out, rows[0], n); }
    static void convert_row(const T* row, int64_t n, Source* out) { copy_row(out, row, n); }
};

// To the nearest bfloat16, ties to even; NaN stays NaN.
inline Bits<float> rounded(Vec<float> x) {
    const Bits<float> bits = (Bits<float>)x;
    return (x != x ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
}

inline Bits<float> zip(Vec<float> low, Vec<float> high) { return rounded(low) >> 16 | rounded(high); }

// Elements j, j + 1, ... of a row of n, zeros past its end and where there is no row.
inline Vec<float> load_within(const float* row, int64_t j, int64_t n) {
    if (!row || j >= n) return Vec<float>{};
    return n - j < kLanes<float> ? load_part(row + j, n - j) : load(row + j);
}

// Pairs of numbers rounded to bfloat16, the first in the lower half: half the bytes of float32, and two multiply-adds a
// lane where the processor has an instruction for them. Elsewhere weights are widened again as they are read, and rows
// are only rounded.
struct Bfloat16 {
    using Value = float;
    using Packed = uint32_t;
    static constexpr int64_t kGroup = 2;

#if defined(__AVX512BF16__)
    using Source = uint32_t;
    using Factor = Bits<float>;
    static constexpr int64_t kSources = 1;
    static constexpr int kParts = 1;

    static Factor weights(const Packed* p, int) { return load_bits(p); }
    static Factor source(const Source* p, int64_t, int) { return Factor{} + *p; }
    static void multiply_add(Vec<float>& sum, Factor x, Factor row) {
        sum = (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)row);
    }
    static Bits<float> pairs(Vec<float> a, Vec<float> b) { return (Bits<float>)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a); }
    static void convert_rows(const float* const* rows, int64_t n, int64_t, Source* out) { pack_rows(rows, n, out); }
    static void convert_row(const float* row, int64_t n, Source* out) {
        for (int64_t j = 0; j < n; j += 2 * kLanes<float>, out += kLanes<float>)
            store_bits(out, pairs(load_within(row, j, n), load_within(row, j + kLanes<float>, n)));
    }
#else
    using Source = float;
    using Factor = Vec<float>;
    static constexpr int64_t kSources = 2;
    static constexpr int kParts = 2;

    static Factor weights(const Packed* p, int part) {
        const Bits<float> pair = load_bits(p);
        return (Factor)(part ? pair & 0xffff0000u : pair << 16);
    }
    static Factor source(const Source* p, int64_t stride, int part) { return all(p[part * stride]); }
    static void multiply_add(Vec<float>& sum, Factor x, Factor row) { sum += x * row; }
    static Bits<float> pairs(Vec<float> a, Vec<float> b) {
        Vec<float> even, odd;
        deal<float>(a, b, even, odd);
        return zip(even, odd);
    }
    static void convert_rows(const float* const* rows, int64_t n, int64_t stride, Source* out) {
        for (int i = 0; i < 2; ++i) convert_row(rows[i], n, out + i * stride);
    }
    static void convert_row(const float* row, int64_t n, Source* out) {
        for (int64_t j = 0; j < n; j += kLanes<float>) store<float>(out + j, (Vec<float>)rounded(load_within(row, j, n)));
    }
#endif

    // Elements 0 .. 2L of a row, as L pairs.
    static Vec<float> neighbours(const float* from) { return (Vec<float>)pairs(load(from), load(from + kLanes<float>)); }
    static Packed pack(const float* from, int64_t stride, int64_t left) {
        return zip(all(from[0]), all(left > 1 ? from[stride] : 0.0f))[0];
    }
    // n columns of two rows; whole vectors are written.
    static void pack_rows(const float* const* rows, int64_t n, Packed* out) {
        for (int64_t j = 0; j < n; j += kLanes<float>)
            store_bits(out + j, zip(load_within(rows[0], j, n), load_within(rows[1], j, n)));
    }
};

template <class F>
constexpr int64_t groups(int64_t n) {
    return (n + F::kGroup - 1) / F::kGroup;
}

// Elements that some elements of a row become, in whole groups and vectors.
template <class F>
constexpr int64_t converted(int64_t n) {
    constexpr int64_t L = kLanes<typename F::Value>;
    return (groups<F>(n) * F::kSources + L - 1) / L * L;
}

// Converts rows of some width, and turns the table of their addresses to the converted ones.
template <class F>
void convert_sources(typename F::Value** rows, int64_t count, int64_t width, typename F::Value* out) {
    auto* to = reinterpret_cast<typename F::Source*>(out);
    for (int64_t r = 0; r < count; ++r, to += converted<F>(width)) {
        F::convert_row(rows[r], width, to);
        rows[r] = reinterpret_cast<typename F::Value*>(to);
    }
}
