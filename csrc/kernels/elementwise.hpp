// The interpreter of elementwise code over one tile: instruction after instruction, while the tile is in the first
// cache.

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

// Every row has some whole vectors, and then `rest` columns of one more. Where the result is `bounded`, columns beyond
// belong to others.
template <class T>
struct TileShape {
    int rows, whole, rest;
    bool bounded = false;

    TileShape(int rows, int64_t columns) : rows(rows), whole(int(columns / kLanes<T>)), rest(int(columns % kLanes<T>)) {}

    int vectors() const { return whole + (rest > 0); }

    TileShape with_bounds(bool b) const {
        TileShape s = *this;
        s.bounded = b;
        return s;
    }
};

// How an instruction reads a vector: all of it, or what is there of the last.
struct Whole {
    template <class T>
    Vec<T> operator()(const T* p) const {
        return load(p);
    }
};

struct Rest {
    int columns;

    template <class T>
    Vec<T> operator()(const T* p) const {
        return load_part(p, columns);
    }
};

// out = f(loads). In a whole tile of V vectors all results of a row come first, then the stores, so that they overlap.
template <int V, class T, class F>
inline void map_whole(TileShape<T> s, Reference<T> d, F f) {
    for (int m = 0; m < s.rows; ++m) {
        T* out = d[m];
        auto at = f(m);
        Vec<T> result[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) result[v] = at(v * kLanes<T>, Whole{});
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store<T>(out + v * kLanes<T>, result[v]);
    }
}

template <class T, class F>
inline void map_part(TileShape<T> s, Reference<T> d, F f) {
    for (int m = 0; m < s.rows; ++m) {
        T* out = d[m];
        auto at = f(m);
        int j = 0;
        for (int v = 0; v < s.whole; ++v, j += kLanes<T>) store<T>(out + j, at(j, Whole{}));
        if (!s.rest) continue;
        const Vec<T> last = at(j, Rest{s.rest});
        if (s.bounded)
            store_part<T>(out + j, last, s.rest);
        else
            store<T>(out + j, last);
    }
}

template <class T, class F>
inline void map_tile(TileShape<T> s, Reference<T> d, F f) {
    constexpr int whole = kPanel / kLanes<T>;
    if constexpr (whole <= 8)
        if (s.whole == whole) return map_whole<whole>(s, d, f);
    map_part(s, d, f);
}

template <class T, class F>
inline void map1(TileShape<T> s, Reference<T> d, Reference<T> a, F f) {
    map_tile(s, d, [=](int m) { return [=, x = a[m]](int j, auto get) { return f(get(x + j)); }; });
}

template <class T, class F>
inline void map2(TileShape<T> s, Reference<T> d, Reference<T> a, Reference<T> b, F f) {
    map_tile(s, d, [=](int m) {
        return [=, x = a[m], y = b[m]](int j, auto get) { return f(get(x + j), get(y + j)); };
    });
}

template <class T, class F>
inline void map3(TileShape<T> s, Reference<T> d, Reference<T> a, Reference<T> b, Reference<T> c, F f) {
    map_tile(s, d, [=](int m) {
        return [=, x = a[m], y = b[m], z = c[m]](int j, auto get) { return f(get(x + j), get(y + j), get(z + j)); };
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
