// Formats: how the factors of products are held. Sums are of type Value in all of them.
//
// A product runs along groups of kGroup inner elements. The weights of a group are kWords packed elements a column, one
// below the other; a row's elements of a group are kSources elements, in kPlanes halves of the row, which are multiplied
// in kParts steps. Before the groups stand kHead elements a column, and kSourceHead of a row, which `total` may need to
// turn a sum into what it stands for.

template <class T>
struct Plain {
    using Value = T;
    using Packed = T;
    using Source = T;
    using Factor = Vec<T>;
    using Sum = Vec<T>;
    static constexpr int64_t kGroup = 1, kWords = 1, kSources = 1, kPlanes = 1, kHead = 0, kSourceHead = 0;
    static constexpr int kParts = 1;

    static Factor weights(const Packed* p, int64_t, int) { return load(p); }
    static Factor source(const Source* p, int64_t, int) { return all(*p); }
    static void multiply_add(Vec<T>& sum, Factor x, Factor row) { sum += x * row; }
    static Vec<T> total(Sum sum, const Packed*, int64_t, const Source*) { return sum; }

    static Vec<T> neighbours(const T* from, int) { return load(from); }
    static Packed pack(const T* from, int64_t, int64_t, int) { return *from; }
    static void pack_rows(const T* const* rows, int64_t n, int, Packed* out) { copy_row(out, rows[0], n); }
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
    using Sum = Vec<float>;
    static constexpr int64_t kGroup = 2, kWords = 1, kPlanes = 1, kHead = 0, kSourceHead = 0;

#if defined(__AVX512BF16__)
    using Source = uint32_t;
    using Factor = Bits<float>;
    static constexpr int64_t kSources = 1;
    static constexpr int kParts = 1;

    static Factor weights(const Packed* p, int64_t, int) { return load_bits(p); }
    static Factor source(const Source* p, int64_t, int) { return Factor{} + *p; }
    static void multiply_add(Vec<float>& sum, Factor x, Factor row) {
        sum = (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)row);
    }
    static Bits<float> pairs(Vec<float> a, Vec<float> b) { return (Bits<float>)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a); }
    static void convert_rows(const float* const* rows, int64_t n, int64_t, Source* out) { pack_rows(rows, n, 0, out); }
    static void convert_row(const float* row, int64_t n, Source* out) {
        for (int64_t j = 0; j < n; j += 2 * kLanes<float>, out += kLanes<float>)
            store_bits(out, pairs(load_within(row, j, n), load_within(row, j + kLanes<float>, n)));
    }
#else
    using Source = float;
    using Factor = Vec<float>;
    static constexpr int64_t kSources = 2;
    static constexpr int kParts = 2;

    static Factor weights(const Packed* p, int64_t, int part) {
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

    static Vec<float> total(Sum sum, const Packed*, int64_t, const Source*) { return sum; }

    // Elements 0 .. 2L of a row, as L pairs.
    static Vec<float> neighbours(const float* from, int) {
        return (Vec<float>)pairs(load(from), load(from + kLanes<float>));
    }
    static Packed pack(const float* from, int64_t stride, int64_t left, int) {
        return zip(all(from[0]), all(left > 1 ? from[stride] : 0.0f))[0];
    }
    // n columns of two rows; whole vectors are written.
    static void pack_rows(const float* const* rows, int64_t n, int, Packed* out) {
        for (int64_t j = 0; j < n; j += kLanes<float>)
            store_bits(out + j, zip(load_within(rows[0], j, n), load_within(rows[1], j, n)));
    }
};

// What bfloat16 leaves of a number; NaN of one that is not finite.
inline Vec<float> rest_of(Vec<float> x) { return x - (Vec<float>)rounded(x); }

// Float32 as the sum of two numbers in bfloat16, in pairs as above: a word of the larger and one of the smaller parts.
// The product of the two smaller is left out. Three times the steps of bfloat16: worth it where steps are tiles.
struct Split {
    using Value = float;
    using Packed = uint32_t;
    using Source = uint32_t;
    using Sum = Vec<float>;
    using Factor = Bfloat16::Factor;
    static constexpr int64_t kGroup = 2, kWords = 2, kSources = 2, kPlanes = 2, kHead = 0, kSourceHead = 0;
    static constexpr int kProducts = 3, kParts = kProducts * Bfloat16::kParts;

    // Which parts the products take: larger * larger, larger weights * smaller elements of rows, smaller * larger.
    static constexpr int word_of_weights(int product) { return product == 2; }
    static constexpr int word_of_source(int product) { return product == 1; }

    static Factor weights(const Packed* p, int64_t stride, int part) {
        return Bfloat16::weights(p + word_of_weights(part % kProducts) * stride, 0, part / kProducts);
    }
    static Factor source(const Source* p, int64_t stride, int part) {
        const Source pair = p[word_of_source(part % kProducts) * stride];
#if defined(__AVX512BF16__)
        return Factor{} + pair;
#else
        return (Factor)(Bits<float>{} + (part / kProducts ? pair & 0xffff0000u : pair << 16));
#endif
    }
    static void multiply_add(Vec<float>& sum, Factor x, Factor row) { Bfloat16::multiply_add(sum, x, row); }
    static Vec<float> total(Sum sum, const Packed*, int64_t, const Source*) { return sum; }

    static Vec<float> part_of(Vec<float> x, int word) { return word ? rest_of(x) : x; }
    static Vec<float> neighbours(const float* from, int word) {
        return (Vec<float>)Bfloat16::pairs(part_of(load(from), word), part_of(load(from + kLanes<float>), word));
    }
    static Packed pack(const float* from, int64_t stride, int64_t left, int word) {
        return zip(part_of(all(from[0]), word), part_of(all(left > 1 ? from[stride] : 0.0f), word))[0];
    }
    static void pack_rows(const float* const* rows, int64_t n, int word, Packed* out) {
        for (int64_t j = 0; j < n; j += kLanes<float>)
            store_bits(out + j, zip(part_of(load_within(rows[0], j, n), word), part_of(load_within(rows[1], j, n), word)));
    }
    static void convert_rows(const float* const* rows, int64_t n, int64_t stride, Source* out) {
        for (int word = 0; word < 2; ++word) pack_rows(rows, n, word, out + word * stride);
    }
    static void convert_row(const float* row, int64_t n, Source* out) {
        constexpr int64_t L = kLanes<float>;
        const int64_t apart = (n + 2 * L - 1) / (2 * L) * L;
        for (int64_t j = 0; j < n; j += 2 * L, out += L) {
            const Vec<float> a = load_within(row, j, n), b = load_within(row, j + L, n);
            store_bits(out, Bfloat16::pairs(a, b));
            store_bits(out + apart, Bfloat16::pairs(rest_of(a), rest_of(b)));
        }
    }
};

// Four whole numbers of a byte each, for inference: weights within 127 of zero, in steps of their own for each column of
// the result; elements of a row likewise, plus 128, since the instruction multiplies numbers without sign by numbers with
// one. A column's head are its step, and what the 128 add to its sum; a row's head is its step. Sums are exact, so all
// instruction sets give the same.
struct Int8 {
    using Value = float;
    using Packed = uint32_t;
    using Source = uint32_t;
    using Sum = IntVec<float>;
    static constexpr int64_t kGroup = 4, kWords = 1, kSources = 1, kPlanes = 1, kHead = 2, kSourceHead = kLanes<float>;

#if defined(__AVX512VNNI__)
    using Factor = Bits<float>;
    static constexpr int kParts = 1;

    static Factor weights(const Packed* p, int64_t, int) { return load_bits(p); }
    static Factor source(const Source* p, int64_t, int) { return Factor{} + *p; }
    static void multiply_add(Sum& sum, Factor x, Factor row) {
        sum = (Sum)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)row);
    }
#else
    using Factor = IntVec<float>;
    static constexpr int kParts = 4;

    static Factor weights(const Packed* p, int64_t, int part) { return (Factor)(load_bits(p) << (24 - 8 * part)) >> 24; }
    static Factor source(const Source* p, int64_t, int part) { return Factor{} + int32_t(*p >> 8 * part & 255); }
    static void multiply_add(Sum& sum, Factor x, Factor row) { sum += x * row; }
#endif

    static Vec<float> total(Sum sum, const Packed* column, int64_t stride, const Source* row) {
        const Vec<float> step = (Vec<float>)load_bits(column - 2 * stride);
        const Sum exact = sum - (Sum)load_bits(column - stride);
        Vec<float> total = __builtin_convertvector(exact, Vec<float>) * (step * reinterpret_cast<const float*>(row)[-1]);
        asm("" : "+m"(total));  // else it is fused with the sum that follows in tiles of some heights, and rounds otherwise
        return total;
    }

    // How many steps make 1, where 127 make the largest of some numbers. A NaN among them makes the step NaN.
    static float inverse(float largest) { return largest > 0 ? 127.0f / largest : 0; }
    static Bits<float> whole(Vec<float> x) { return (Bits<float>)(x + Constants<float>::magic); }

    static float largest(const float* row, int64_t n) {
        Vec<float> most{};
        for (int64_t j = 0; j < n; j += kLanes<float>) {
            const Vec<float> x = abs_of<float>(load_within(row, j, n));
            most = ((x > most) | (x != x)) ? x : most;
        }
        float found = 0;
        for (int64_t i = 0; i < kLanes<float>; ++i) found = most[i] > found || most[i] != most[i] ? most[i] : found;
        return found;
    }

    static void convert_row(const float* row, int64_t n, Source* out) {
        typedef uint8_t Bytes __attribute__((vector_size(kLanes<float>)));
        const float most = largest(row, n), steps = inverse(most);
        reinterpret_cast<float*>(out)[kSourceHead - 1] = most / 127.0f;
        auto* bytes = reinterpret_cast<uint8_t*>(out + kSourceHead);
        for (int64_t j = 0; j < n; j += kLanes<float>) {
            const Bits<float> x = whole(load_within(row, j, n) * steps + 128.0f) & 255u;
            const Bytes narrow = __builtin_convertvector(x, Bytes);
            __builtin_memcpy(bytes + j, &narrow, sizeof narrow);
        }
    }

    // A column of a panel with its head: k elements that stand `stride` apart.
    static void pack_column(const float* from, int64_t stride, int64_t k, Packed* out, int64_t columns) {
        float most = 0;
        for (int64_t i = 0; i < k; ++i) {
            const float x = from[i * stride] < 0 ? -from[i * stride] : from[i * stride];
            most = x > most || x != x ? x : most;
        }
        const float steps = inverse(most), step = most / 127.0f;
        int32_t sum = 0;
        __builtin_memcpy(out, &step, sizeof step);
        for (int64_t g = 0; g * kGroup < k; ++g) {
            uint32_t word = 0;
            for (int64_t i = g * kGroup; i < k && i < (g + 1) * kGroup; ++i) {
                const auto x = int8_t(whole(all(from[i * stride] * steps))[0]);
                sum += x;
                word |= uint32_t(uint8_t(x)) << 8 * (i % kGroup);
            }
            out[(kHead + g) * columns] = word;
        }
        out[columns] = uint32_t(128 * sum);
    }
};

// The columns of a packed panel: the last one has as many vectors as it needs. Narrow matrices stay in the first cache
// that way; padded ones of four gates of 32 columns did not.
template <class T>
int64_t panel_stride(int64_t width, int64_t panel) {
    const int64_t left = width - panel * kPanel;
    return left < kPanel ? (left + kLanes<T> - 1) / kLanes<T> * kLanes<T> : kPanel;
}

template <class F>
constexpr int64_t groups(int64_t n) {
    return (n + F::kGroup - 1) / F::kGroup;
}

// Elements that some elements of a row become in one plane, in whole groups and vectors, and in all.
template <class F>
constexpr int64_t plane(int64_t n) {
    constexpr int64_t L = kLanes<typename F::Value>;
    return (groups<F>(n) * F::kSources / F::kPlanes + L - 1) / L * L;
}

template <class F>
constexpr int64_t converted(int64_t n) {
    return F::kSourceHead + F::kPlanes * plane<F>(n);
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
