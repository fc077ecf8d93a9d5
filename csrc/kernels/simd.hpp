// Vectors of one instruction set, through the compiler's vector extension. Included by the kernel files only, inside
// their anonymous namespaces, so that no two instruction sets share a function.

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kTileVectors = 4;  // 6 x 4 accumulators of 32 registers
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
constexpr int kTileVectors = 2;  // 6 x 2 accumulators of 16 registers
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16;
constexpr int kTileVectors = 4;
#else
constexpr int kVectorBytes = 16;
constexpr int kTileVectors = 2;
#endif

template <class T>
struct Traits;

template <>
struct Traits<float> {
    typedef float V __attribute__((vector_size(kVectorBytes)));
    typedef float U __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
    typedef int32_t I __attribute__((vector_size(kVectorBytes)));
    typedef uint32_t B __attribute__((vector_size(kVectorBytes)));
    using Int = int32_t;
};

template <>
struct Traits<double> {
    typedef double V __attribute__((vector_size(kVectorBytes)));
    typedef double U __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
    typedef int64_t I __attribute__((vector_size(kVectorBytes)));
    typedef uint64_t B __attribute__((vector_size(kVectorBytes)));
    using Int = int64_t;
};

template <class T>
using Vec = typename Traits<T>::V;
template <class T>
using IntVec = typename Traits<T>::I;
template <class T>
using Bits = typename Traits<T>::B;  // integers that may wrap
template <class T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
    return *reinterpret_cast<const typename Traits<T>::U*>(p);
}

template <class T>
inline void store(T* p, Vec<T> v) {
    *reinterpret_cast<typename Traits<T>::U*>(p) = v;
}

inline Bits<float> load_bits(const uint32_t* p) {
    typedef uint32_t U __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
    return *reinterpret_cast<const U*>(p);
}

inline void store_bits(uint32_t* p, Bits<float> bits) {
    typedef uint32_t U __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
    *reinterpret_cast<U*>(p) = bits;
}

template <class T>
inline Vec<T> all(T x) {
    return x - Vec<T>{};  // x + 0 would turn -0 into 0
}

// The first n lanes, the rest zero; nothing past them is touched.
template <class T>
inline Vec<T> load_part(const T* p, int64_t n) {
    T lanes[kLanes<T>] = {};
    for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
}

template <class T>
inline void store_part(T* p, Vec<T> v, int64_t n) {
    T lanes[kLanes<T>];
    store(lanes, v);
    for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

#if defined(__AVX512F__)
template <>
inline Vec<float> load_part<float>(const float* p, int64_t n) {
    return (Vec<float>)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p);
}
template <>
inline Vec<double> load_part<double>(const double* p, int64_t n) {
    return (Vec<double>)_mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p);
}
template <>
inline void store_part<float>(float* p, Vec<float> v, int64_t n) {
    _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v);
}
template <>
inline void store_part<double>(double* p, Vec<double> v, int64_t n) {
    _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), (__m512d)v);
}
#elif defined(__AVX2__)
inline __m256i lanes_below(int32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
template <>
inline Vec<float> load_part<float>(const float* p, int64_t n) {
    return (Vec<float>)_mm256_maskload_ps(p, lanes_below(int32_t(n)));
}
template <>
inline void store_part<float>(float* p, Vec<float> v, int64_t n) {
    _mm256_maskstore_ps(p, lanes_below(int32_t(n)), (__m256)v);
}
inline __m256i wide_lanes_below(int64_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
template <>
inline Vec<double> load_part<double>(const double* p, int64_t n) {
    return (Vec<double>)_mm256_maskload_pd(p, wide_lanes_below(n));
}
template <>
inline void store_part<double>(double* p, Vec<double> v, int64_t n) {
    _mm256_maskstore_pd(p, wide_lanes_below(n), (__m256d)v);
}
#endif

template <class T>
inline void copy_row(T* to, const T* from, int64_t n) {
    int64_t j = 0;
    for (; j + kLanes<T> <= n; j += kLanes<T>) store<T>(to + j, load(from + j));
    for (; j < n; ++j) to[j] = from[j];
}

template <class T>
inline T add_lanes(Vec<T> v) {
    T lanes[kLanes<T>];
    store(lanes, v);
    for (int step = kLanes<T> / 2; step > 0; step /= 2)
        for (int i = 0; i < step; ++i) lanes[i] += lanes[i + step];
    return lanes[0];
}

// Functions without a vector form here: one lane after the other.
template <class T, class F>
inline Vec<T> each_lane(Vec<T> x, F f) {
    T lanes[kLanes<T>];
    store(lanes, x);
    for (int i = 0; i < kLanes<T>; ++i) lanes[i] = f(lanes[i]);
    return load(lanes);
}

// The larger and the smaller of a bound and x; NaN stays NaN, as the instructions give their second operand then.
template <class T>
inline Vec<T> at_least(Vec<T> x, T bound) {
    return x < bound ? all(bound) : x;
}

template <class T>
inline Vec<T> at_most(Vec<T> x, T bound) {
    return x > bound ? all(bound) : x;
}

// The magnitude of one number with the sign of another.
template <class T>
inline Vec<T> with_sign_of(Vec<T> magnitude, Vec<T> x) {
    return (Vec<T>)((IntVec<T>)magnitude | ((IntVec<T>)x & (IntVec<T>)all(T(-0.0))));
}

#if defined(__AVX512F__)
template <>
inline Vec<float> at_least<float>(Vec<float> x, float bound) {
    return (Vec<float>)_mm512_max_ps((__m512)all(bound), (__m512)x);
}
template <>
inline Vec<double> at_least<double>(Vec<double> x, double bound) {
    return (Vec<double>)_mm512_max_pd((__m512d)all(bound), (__m512d)x);
}
template <>
inline Vec<float> at_most<float>(Vec<float> x, float bound) {
    return (Vec<float>)_mm512_min_ps((__m512)all(bound), (__m512)x);
}
template <>
inline Vec<double> at_most<double>(Vec<double> x, double bound) {
    return (Vec<double>)_mm512_min_pd((__m512d)all(bound), (__m512d)x);
}

// x 2^n for a whole n, however small or large.
inline Vec<float> scale_by(Vec<float> x, Vec<float> n) { return (Vec<float>)_mm512_scalef_ps((__m512)x, (__m512)n); }
inline Vec<double> scale_by(Vec<double> x, Vec<double> n) { return (Vec<double>)_mm512_scalef_pd((__m512d)x, (__m512d)n); }
#elif defined(__AVX2__)
template <>
inline Vec<float> at_least<float>(Vec<float> x, float bound) {
    return (Vec<float>)_mm256_max_ps((__m256)all(bound), (__m256)x);
}
template <>
inline Vec<double> at_least<double>(Vec<double> x, double bound) {
    return (Vec<double>)_mm256_max_pd((__m256d)all(bound), (__m256d)x);
}
template <>
inline Vec<float> at_most<float>(Vec<float> x, float bound) {
    return (Vec<float>)_mm256_min_ps((__m256)all(bound), (__m256)x);
}
template <>
inline Vec<double> at_most<double>(Vec<double> x, double bound) {
    return (Vec<double>)_mm256_min_pd((__m256d)all(bound), (__m256d)x);
}
#endif
