// The interpreter of elementwise code over one tile: instruction after instruction, while the tile is in the first
// cache. Every operand is rows of whole vectors; what is narrower was staged before.

template <class T>
struct Reference {
    T* const* rows;
    int64_t column;

    T* operator[](int m) const {
        T* row = rows[m] + column;
        asm("" : "+r"(row));  // else the compiler keeps column + 0, 16, 32, ... in registers that it has not got
        return row;
    }
};

template <class T>
struct TileShape {
    int rows, vectors;
};

// out = f(loads): all results of a row first, then the stores, so that the vectors of a row overlap. V is the number
// of vectors of a whole tile, or 0 for as many as the shape says.
template <int V, class T, class F>
inline void map_rows(TileShape<T> s, Reference<T> d, F f) {
    constexpr int L = kLanes<T>;
    for (int m = 0; m < s.rows; ++m) {
        T* out = d[m];
        auto at = f(m);
        if constexpr (V == 0) {
            for (int v = 0; v < s.vectors; ++v) store<T>(out + v * L, at(v * L));
        } else {
            Vec<T> result[V];
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) result[v] = at(v * L);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) store<T>(out + v * L, result[v]);
        }
    }
}

template <class T, class F>
inline void map_tile(TileShape<T> s, Reference<T> d, F f) {
    constexpr int whole = kPanel / kLanes<T>, unrolled = whole <= 8 ? whole : 0;
    if (s.vectors == whole)
        map_rows<unrolled>(s, d, f);
    else
        map_rows<0>(s, d, f);
}

template <class T, class F>
inline void map1(TileShape<T> s, Reference<T> d, Reference<T> a, F f) {
    map_tile(s, d, [=](int m) { return [=, x = a[m]](int j) { return f(load<T>(x + j)); }; });
}

template <class T, class F>
inline void map2(TileShape<T> s, Reference<T> d, Reference<T> a, Reference<T> b, F f) {
    map_tile(s, d, [=](int m) { return [=, x = a[m], y = b[m]](int j) { return f(load<T>(x + j), load<T>(y + j)); }; });
}

template <class T, class F>
inline void map3(TileShape<T> s, Reference<T> d, Reference<T> a, Reference<T> b, Reference<T> c, F f) {
    map_tile(s, d, [=](int m) {
        return [=, x = a[m], y = b[m], z = c[m]](int j) { return f(load<T>(x + j), load<T>(y + j), load<T>(z + j)); };
    });
}

template <class T, class M>
inline Vec<T> one_where(M condition) {
    return condition ? all(T(1)) : Vec<T>{};
}

template <class T>
void run_instruction(const Instruction& i, const Reference<T>* refs, TileShape<T> s) {
    using V = Vec<T>;
    const Reference<T> d = refs[i.dst], a = refs[i.a], b = refs[i.b < 0 ? i.a : i.b], c = refs[i.c < 0 ? i.a : i.c];
    switch (i.op) {
        case Op::copy: return map1(s, d, a, [](V x) { return x; });
        case Op::neg: return map1(s, d, a, [](V x) { return -x; });
        case Op::sigmoid: return map1(s, d, a, [](V x) { return sigmoid_of<T>(x); });
        case Op::tanh: return map1(s, d, a, [](V x) { return tanh_of<T>(x); });
        case Op::exp: return map1(s, d, a, [](V x) { return exp_of<T>(x); });
        case Op::log: return map1(s, d, a, [](V x) { return log_of<T>(x); });
        case Op::softplus: return map1(s, d, a, [](V x) { return softplus_of<T>(x); });
        case Op::relu: return map1(s, d, a, [](V x) { return x <= T(0) ? V{} : x; });
        case Op::abs: return map1(s, d, a, [](V x) { return abs_of<T>(x); });
        case Op::sign:
            return map1(s, d, a, [](V x) { return one_where<T>(x > T(0)) - one_where<T>(x < T(0)); });
        case Op::sqrt: return map1(s, d, a, [](V x) { return each_lane<T>(x, [](T y) { return sqrt_of(y); }); });
        case Op::sin: return map1(s, d, a, [](V x) { return each_lane<T>(x, [](T y) { return sin_of(y); }); });
        case Op::cos: return map1(s, d, a, [](V x) { return each_lane<T>(x, [](T y) { return cos_of(y); }); });
        case Op::floor: return map1(s, d, a, [](V x) { return each_lane<T>(x, [](T y) { return floor_of(y); }); });
        case Op::recip: return map1(s, d, a, [](V x) { return T(1) / x; });
        case Op::positive: return map1(s, d, a, [](V x) { return one_where<T>(x > T(0)); });
        case Op::add: return map2(s, d, a, b, [](V x, V y) { return x + y; });
        case Op::sub: return map2(s, d, a, b, [](V x, V y) { return x - y; });
        case Op::mul: return map2(s, d, a, b, [](V x, V y) { return x * y; });
        case Op::div: return map2(s, d, a, b, [](V x, V y) { return x / y; });
        // a NaN on either side stays NaN, as in PyTorch
        case Op::maximum: return map2(s, d, a, b, [](V x, V y) { return (x > y) | (x != x) ? x : y; });
        case Op::minimum: return map2(s, d, a, b, [](V x, V y) { return (x < y) | (x != x) ? x : y; });
        case Op::lt: return map2(s, d, a, b, [](V x, V y) { return one_where<T>(x < y); });
        case Op::le: return map2(s, d, a, b, [](V x, V y) { return one_where<T>(x <= y); });
        case Op::gt: return map2(s, d, a, b, [](V x, V y) { return one_where<T>(x > y); });
        case Op::ge: return map2(s, d, a, b, [](V x, V y) { return one_where<T>(x >= y); });
        case Op::eq: return map2(s, d, a, b, [](V x, V y) { return one_where<T>(x == y); });
        case Op::ne: return map2(s, d, a, b, [](V x, V y) { return one_where<T>(x != y); });
        case Op::fma: return map3(s, d, a, b, c, [](V x, V y, V z) { return x * y + z; });
        case Op::fms: return map3(s, d, a, b, c, [](V x, V y, V z) { return x * y - z; });
        case Op::fnma: return map3(s, d, a, b, c, [](V x, V y, V z) { return z - x * y; });
        case Op::where: return map3(s, d, a, b, c, [](V x, V y, V z) { return x != T(0) ? y : z; });
        case Op::clip:
            return map3(s, d, a, b, c, [](V x, V low, V high) {
                x = x < low ? low : x;
                return x > high ? high : x;
            });
        case Op::dsigmoid: return map2(s, d, a, b, [](V x, V y) { return x * (y * (T(1) - y)); });
        case Op::dtanh: return map2(s, d, a, b, [](V x, V y) { return x * (T(1) - y * y); });
    }
}
