// exp, log, sigmoid, tanh and softplus over vectors, to a few units in the last place, right at infinities, NaN and
// denormals. Never compile this with flags that let the compiler reassociate: the range reductions would fall apart.
//
// The series are minimax polynomials for the relative error of the function that they end up in, found by Remez
// exchange in 50 digits over the range left by the reduction (a ten-thousandth wider), then rounded to T. Against the
// textbook's coefficients 1/k! and 2/(2k+1) they save one to four terms.

// Coefficients, that of x^0 first.
template <class T, int N>
struct Series {
    T c[N];

    // `first` times the series for a variable `by` times smaller; both are powers of two.
    constexpr Series scaled(T first, T by) const {
        Series s = *this;
        for (int k = 0; k < N; ++k, first *= by) s.c[k] *= first;
        return s;
    }

    Vec<T> at(Vec<T> x) const {
        Vec<T> sum = all(c[N - 1]);
#pragma GCC unroll 16
        for (int k = N - 2; k >= 0; --k) sum = sum * x + c[k];
        return sum;
    }
};

template <class T>
struct Constants;

template <>
struct Constants<float> {
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, found in the low bits
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f, ln2 = 0.69314718f;
    static constexpr float lowest = -104.0f, highest = 89.0f;  // exp is 0 and infinite beyond
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float tiny = 1.17549435e-38f, infinity = __builtin_inff(), nan = __builtin_nanf("");
    static constexpr int32_t sqrt_half = 0x3f3504f3;
    // (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2: exp to 2^-28.3
    static constexpr Series<float, 5> exp{{0.49999993447804618f, 0.16666520631748297f, 0.041668388046206197f,
                                           0.00836871687768f, 0.00138145985275f}};
    // (2 atanh(s) - 2 s) / s^3 as a function of s^2, for |s| <= (sqrt(2) - 1) / (sqrt(2) + 1): log to 2^-30.2
    static constexpr Series<float, 3> log{{0.66666776119093246f, 0.39977569408756140f, 0.29871072060589534f}};
    // the same for s <= 1/3: log(1 + z) to 2^-27.7
    static constexpr Series<float, 4> log1p{
        {0.66666416285137821f, 0.40021527263251804f, 0.28001804934327165f, 0.28011988308309210f}};
};

template <>
struct Constants<double> {
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    static constexpr double ln2 = 0.69314718055994530942;
    static constexpr double lowest = -746.0, highest = 710.0;
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double tiny = 2.2250738585072014e-308, infinity = __builtin_inf(), nan = __builtin_nan("");
    static constexpr int64_t sqrt_half = 0x3fe6a09e667f3bcd;
    // to 2^-57.9, 2^-59.5 and 2^-59.4
    static constexpr Series<double, 10> exp{
        {0.5000000000000010627, 0.16666666666666412519, 0.041666666666530159166, 0.008333333333494464691,
         0.0013888888943630048241, 0.0001984126950657132925, 0.00002480149309892917966, 2.7557586380882426294e-6,
         2.7630248379742434988e-7, 2.5000059256054841584e-8}};
    static constexpr Series<double, 7> log{
        {0.66666666666667342032, 0.39999999999416018151, 0.28571428742101881158, 0.22222198601180892162,
         0.18183562940582660614, 0.15314084248519756125, 0.14795629627945138954}};
    static constexpr Series<double, 10> log1p{
        {0.66666666666666309698, 0.40000000000155116739, 0.28571428548117971168, 0.22222223953647475205,
         0.18181744479044121135, 0.15386548393576203347, 0.13301121360879998555, 0.1210494511376312576,
         0.083449702674629058249, 0.17009759510611629126}};
};

// A whole number, also in the low bits of `shifted`.
template <class T>
struct Exponent {
    Vec<T> n;
    Bits<T> shifted;
};

template <class T>
inline Exponent<T> round_product(Vec<T> x, T y) {
    const Vec<T> shifted = x * y + Constants<T>::magic;
    return {shifted - Constants<T>::magic, (Bits<T>)shifted};
}

// 2^(n + plus), where that is a normal number.
template <class T>
inline Vec<T> power_of_two(Bits<T> shifted, int plus = 0) {
    using C = Constants<T>;
    return (Vec<T>)((shifted << C::mantissa) + (typename Traits<T>::Int(C::bias + plus) << C::mantissa));
}

// x 2^n for any whole n, with denormal results rounded but once.
template <class T>
inline Vec<T> scale(Vec<T> x, const Exponent<T>& by) {
#if defined(__AVX512F__)
    return scale_by(x, by.n);
#else
    const Bits<T> half = by.shifted >> 1;
    return x * power_of_two<T>(half) * power_of_two<T>(by.shifted - half);
#endif
}

// x = n ln 2 + r; gives r and n.
template <class T>
inline Vec<T> reduced(Vec<T> x, Exponent<T>& n) {
    n = round_product<T>(x, T(1.4426950408889634));
    return (x - n.n * Constants<T>::ln2_high) - n.n * Constants<T>::ln2_low;
}

// exp(r) - 1 for a reduced r.
template <class T>
inline Vec<T> expm1_of(Vec<T> r) {
    return Constants<T>::exp.at(r) * (r * r) + r;
}

// exp(x) for x above Constants::lowest, or NaN; infinite past `highest`, but not much further.
template <class T>
inline Vec<T> exp_within(Vec<T> x) {
    Exponent<T> n;
    const Vec<T> r = reduced<T>(x, n);
    return scale<T>((Constants<T>::exp.at(r) * r + T(1)) * r + T(1), n);
}

template <class T>
inline Vec<T> exp_of(Vec<T> x) {
    return exp_within<T>(at_most<T>(at_least<T>(x, Constants<T>::lowest), Constants<T>::highest));
}

template <class T>
inline Vec<T> abs_of(Vec<T> x) {
    return (Vec<T>)((IntVec<T>)x & ~(IntVec<T>)all(T(-0.0)));
}

template <class T>
inline Vec<T> minus_abs(Vec<T> x) {
    return (Vec<T>)((IntVec<T>)x | (IntVec<T>)all(T(-0.0)));
}

// 1 / (1 + exp(-x)), the denominator rounded but once; both sides 2^64 times smaller, so that it stays finite where the
// result is denormal.
template <class T>
inline Vec<T> sigmoid_of(Vec<T> x) {
    constexpr T one = T(5.421010862427522e-20);
    Exponent<T> n;
    const Vec<T> y = at_least<T>(at_most<T>(-x, -Constants<T>::lowest), T(-40));  // from there on the result is 1
    const Vec<T> p = expm1_of<T>(reduced<T>(y, n));
    const Vec<T> unit = power_of_two<T>(n.shifted, -64);
    return one / (p * unit + (unit + one));
}

// tanh |x| = (1 - z) / (1 + z) with z = exp(-2|x|), near 0 as exact as z - 1. One step of reduction is enough: an error of
// x grows by no more than 1 in tanh x.
template <class T>
inline Vec<T> tanh_of(Vec<T> x) {
    const Vec<T> y = at_least<T>(minus_abs<T>(x + x), T(-40));  // from there on tanh is 1
    const Exponent<T> n = round_product<T>(y, T(1.4426950408889634));
    const Vec<T> p = expm1_of<T>(y - n.n * Constants<T>::ln2);
    const Vec<T> unit = power_of_two<T>(n.shifted);
    return with_sign_of<T>(((T(1) - unit) - p * unit) / ((T(1) + unit) + p * unit), x);
}

// log of a positive normal number: x = 2^n (1 + f), log(1 + f) = f - s (f - R) with s = f / (2 + f).
template <class T>
inline Vec<T> log_of_normal(Vec<T> x, Vec<T> lifted) {
    using C = Constants<T>;
    Bits<T> bits = (Bits<T>)x - C::sqrt_half;
    // exponents are small: shift as positive numbers, as old instruction sets have no other shift for 64 bits
    Bits<T> n = ((bits + (typename Traits<T>::Int(C::bias) << C::mantissa)) >> C::mantissa) - C::bias;
    Vec<T> f = (Vec<T>)((Bits<T>)x - (n << C::mantissa)) - T(1);
    Vec<T> whole = (Vec<T>)(n + (Bits<T>)all(C::magic)) - C::magic - lifted;
    Vec<T> s = f / (f + T(2));
    Vec<T> s2 = s * s;
    Vec<T> rest = whole * C::ln2_low - s * (f - C::log.at(s2) * s2);
    return whole * C::ln2_high + (f + rest);
}

template <class T>
inline Vec<T> log_of(Vec<T> x) {
    using C = Constants<T>;
    constexpr int lift = C::mantissa + 1;
    const auto denormal = x < C::tiny;
    Vec<T> y = log_of_normal<T>(denormal ? x * T(int64_t(1) << lift) : x, denormal ? all(T(lift)) : Vec<T>{});
    y = x < C::infinity ? y : x;
    return x > T(0) ? y : x == T(0) ? all(-C::infinity) : all(C::nan);
}

// log(1 + z) = 2 atanh(z / (2 + z)) for z in [0, 1], where no reduction is needed; twice the quotient at once, so that
// denormals keep their last digit.
template <class T>
inline Vec<T> softplus_of(Vec<T> x) {
    constexpr auto series = Constants<T>::log1p.scaled(T(0.125), T(0.25));
    const Vec<T> z = exp_within<T>(at_least<T>(minus_abs<T>(x), Constants<T>::lowest));
    const Vec<T> s = (z + z) / (z + T(2)), s2 = s * s;
    return (x > T(0) ? x : Vec<T>{}) + (series.at(s2) * s2 * s + s);
}

inline float floor_of(float x) { return __builtin_floorf(x); }
inline double floor_of(double x) { return __builtin_floor(x); }
inline float sqrt_of(float x) { return __builtin_sqrtf(x); }
inline double sqrt_of(double x) { return __builtin_sqrt(x); }
inline float sin_of(float x) { return __builtin_sinf(x); }
inline double sin_of(double x) { return __builtin_sin(x); }
inline float cos_of(float x) { return __builtin_cosf(x); }
inline double cos_of(double x) { return __builtin_cos(x); }
