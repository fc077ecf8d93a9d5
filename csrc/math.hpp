// exp, log, sigmoid, tanh and softplus over vectors, to a few units in the last place, right at infinities, NaN and
// denormals. The series are those of textbooks: their coefficients are 1/k! and 1/(2k+1). Never compile this with
// flags that let the compiler reassociate: the range reductions would fall apart.

template <class T>
struct Constants;

template <>
struct Constants<float> {
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float lowest = -104.0f, highest = 89.0f;  // exp is 0 and infinite beyond
    static constexpr int mantissa = 23, bias = 127, exp_terms = 7, log_terms = 5;
    static constexpr float tiny = 1.17549435e-38f, infinity = __builtin_inff(), nan = __builtin_nanf("");
    static constexpr int32_t sqrt_half = 0x3f3504f3;
};

template <>
struct Constants<double> {
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    static constexpr double lowest = -746.0, highest = 710.0;
    static constexpr int mantissa = 52, bias = 1023, exp_terms = 13, log_terms = 11;
    static constexpr double tiny = 2.2250738585072014e-308, infinity = __builtin_inf(), nan = __builtin_nan("");
    static constexpr int64_t sqrt_half = 0x3fe6a09e667f3bcd;
};

constexpr double inverse_factorial(int k) { return k <= 1 ? 1.0 : inverse_factorial(k - 1) / k; }

// Bits of the nearest integer to a small number, as an integer.
template <class T>
inline IntVec<T> integer_of(Vec<T> shifted) {
    return (IntVec<T>)shifted - (IntVec<T>)all(Constants<T>::magic);
}

// 2^n for n in the normal range.
template <class T>
inline Vec<T> power_of_two(IntVec<T> n) {
    return (Vec<T>)((n + Constants<T>::bias) << Constants<T>::mantissa);
}

// x = n ln 2 + r; gives exp(r) - 1 and n, as a number.
template <class T>
inline Vec<T> reduced_expm1(Vec<T> x, Vec<T>& n) {
    using C = Constants<T>;
    n = (x * T(1.4426950408889634) + C::magic) - C::magic;
    Vec<T> r = (x - n * C::ln2_high) - n * C::ln2_low;
    Vec<T> p = all(T(inverse_factorial(C::exp_terms)));
#pragma GCC unroll 16
    for (int k = C::exp_terms - 1; k >= 2; --k) p = p * r + T(inverse_factorial(k));
    return p * (r * r) + r;
}

// x 2^n for any whole n: in two steps, for denormal and infinite results.
template <class T>
inline Vec<T> scale(Vec<T> x, Vec<T> n) {
    IntVec<T> whole = integer_of<T>(n + Constants<T>::magic), half = whole >> 1;
    return x * power_of_two<T>(half) * power_of_two<T>(whole - half);
}

#if defined(__AVX512F__)
template <>
inline Vec<float> scale<float>(Vec<float> x, Vec<float> n) {
    return (Vec<float>)_mm512_scalef_ps((__m512)x, (__m512)n);
}
template <>
inline Vec<double> scale<double>(Vec<double> x, Vec<double> n) {
    return (Vec<double>)_mm512_scalef_pd((__m512d)x, (__m512d)n);
}
#endif

// 2^n for whole n in the normal range.
template <class T>
inline Vec<T> power(Vec<T> n) {
#if defined(__AVX512F__)
    return scale<T>(all(T(1)), n);
#else
    return power_of_two<T>(integer_of<T>(n + Constants<T>::magic));
#endif
}

template <class T>
inline Vec<T> exp_of(Vec<T> x) {
    using C = Constants<T>;
    Vec<T> n;
    Vec<T> p = reduced_expm1<T>(at_most<T>(at_least<T>(x, C::lowest), C::highest), n);
    return scale<T>(p + T(1), n);
}

template <class T>
inline Vec<T> exp_of_negative(Vec<T> x) {
    Vec<T> n;
    Vec<T> p = reduced_expm1<T>(at_least<T>(x, Constants<T>::lowest), n);
    return scale<T>(p + T(1), n);
}

template <class T>
inline Vec<T> abs_of(Vec<T> x) {
    return (Vec<T>)((IntVec<T>)x & ~(IntVec<T>)all(T(-0.0)));
}

template <class T>
inline Vec<T> sigmoid_of(Vec<T> x) {
    Vec<T> z = exp_of_negative<T>(-abs_of<T>(x));
    return (x < T(0) ? z : all(T(1))) / (z + T(1));
}

// tanh |x| = -z / (z + 2) with z = exp(-2|x|) - 1, which stays exact near 0.
template <class T>
inline Vec<T> tanh_of(Vec<T> x) {
    Vec<T> y = at_least<T>(abs_of<T>(x) * T(-2), T(-44));  // from there on tanh is 1
    Vec<T> n;
    Vec<T> p = reduced_expm1<T>(y, n);
    Vec<T> unit = power<T>(n);
    Vec<T> z = p * unit + (unit - T(1));
    Vec<T> magnitude = (T(0) - z) / (z + T(2));  // 0 - z is never -0
    return (Vec<T>)((IntVec<T>)magnitude | ((IntVec<T>)x & (IntVec<T>)all(T(-0.0))));
}

// log of a positive normal number: x = 2^n (1 + f), log(1 + f) = f - s (f - R) with s = f / (2 + f).
template <class T>
inline Vec<T> log_of_normal(Vec<T> x) {
    using C = Constants<T>;
    Bits<T> bits = (Bits<T>)x - C::sqrt_half;
    // exponents are small: shift as positive numbers, as old instruction sets have no other shift for 64 bits
    Bits<T> n = ((bits + (typename Traits<T>::Int(C::bias) << C::mantissa)) >> C::mantissa) - C::bias;
    Vec<T> f = (Vec<T>)((Bits<T>)x - (n << C::mantissa)) - T(1);
    Vec<T> whole = (Vec<T>)(n + (Bits<T>)all(C::magic)) - C::magic;
    Vec<T> s = f / (f + T(2));
    Vec<T> s2 = s * s;
    Vec<T> series = all(T(2.0 / (2 * C::log_terms + 1)));
#pragma GCC unroll 16
    for (int k = C::log_terms - 1; k >= 1; --k) series = series * s2 + T(2.0 / (2 * k + 1));
    Vec<T> rest = whole * C::ln2_low - s * (f - series * s2);
    return whole * C::ln2_high + (f + rest);
}

template <class T>
inline Vec<T> log_of(Vec<T> x) {
    using C = Constants<T>;
    auto small = x < C::tiny;
    const T lift = T(int64_t(1) << (C::mantissa + 1));
    Vec<T> y = log_of_normal<T>(small ? x * lift : x);
    const T shift = T((C::mantissa + 1) * 0.69314718055994530942);
    y = small ? y - shift : y;
    y = x == T(0) ? all(-C::infinity) : y;
    y = x == C::infinity ? x : y;
    return x >= T(0) ? y : all(C::nan);
}

// log(1 + z) for z in [0, 1]: what rounding took from 1 + z is given back.
template <class T>
inline Vec<T> softplus_of(Vec<T> x) {
    Vec<T> z = exp_of_negative<T>(-abs_of<T>(x));
    Vec<T> u = z + T(1);
    Vec<T> log1p = log_of_normal<T>(u) + (z - (u - T(1))) / u;
    log1p = x != x ? x : log1p;
    return (x > T(0) ? x : Vec<T>{}) + log1p;
}

inline float floor_of(float x) { return __builtin_floorf(x); }
inline double floor_of(double x) { return __builtin_floor(x); }
inline float sqrt_of(float x) { return __builtin_sqrtf(x); }
inline double sqrt_of(double x) { return __builtin_sqrt(x); }
inline float sin_of(float x) { return __builtin_sinf(x); }
inline double sin_of(double x) { return __builtin_sin(x); }
inline float cos_of(float x) { return __builtin_cosf(x); }
inline double cos_of(double x) { return __builtin_cos(x); }
