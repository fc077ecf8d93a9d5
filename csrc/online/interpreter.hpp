// The interpreter of online/code.hpp. Included by the kernel files only, inside their anonymous namespaces.
using online::kNone;
using online::kNothing;
using online::Moment;
using online::Pair;
using online::Segment;

template <class T>
constexpr int64_t kNets = online::kNets<T>;
template <class T>
constexpr int kVectors = int(kNets<T>) / kLanes<T>;

// One element of a block: a number for each net.
template <class T>
struct Element {
    Vec<T> v[kVectors<T>];

    void store_at(T* p) const {
        for (int k = 0; k < kVectors<T>; ++k) store<T>(p + k * kLanes<T>, v[k]);
    }
};

template <class T>
inline Element<T> element(const T* p) {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = load(p + k * kLanes<T>);
    return x;
}

template <class T>
inline Element<T> zero_element() {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = Vec<T>{};
    return x;
}

template <class T>
inline Element<T> one_element() {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = all(T(1));
    return x;
}

template <class T>
inline Element<T> operator+(const Element<T>& a, const Element<T>& b) {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = a.v[k] + b.v[k];
    return x;
}

template <class T>
inline Element<T> operator*(const Element<T>& a, const Element<T>& b) {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = a.v[k] * b.v[k];
    return x;
}

// a * b + c
template <class T>
inline Element<T> times_plus(const Element<T>& a, const Element<T>& b, const Element<T>& c) {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = a.v[k] * b.v[k] + c.v[k];
    return x;
}

// `a` for the nets of the mask, `b` for the others.
template <class T>
inline Element<T> chosen(const Element<T>& mask, const Element<T>& a, const Element<T>& b) {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = (IntVec<T>)mask.v[k] != 0 ? a.v[k] : b.v[k];
    return x;
}

// What is read and written of a block, by the number of an element.
template <class T>
struct Block {
    T* at;

    T* operator[](int64_t place) const { return at + place * kNets<T>; }
    Element<T> get(int64_t place) const { return element(at + place * kNets<T>); }
};

// Stores what only the nets that take the step may change.
template <bool masked, class T>
inline void renew(T* p, const Element<T>& value, const T* active) {
    if constexpr (masked)
        chosen(element(active), value, element(p)).store_at(p);
    else
        value.store_at(p);
}

template <class T>
inline void run_elementwise(const online::Instruction& i, T* block) {
    const auto row = [&](int64_t place) { return block + (place == kNone ? i.dst : place) * kNets<T>; };
    T* rows[4] = {row(i.dst), row(i.a), row(i.b), row(i.c)};
    const Reference<T> refs[4] = {{rows, 0}, {rows + 1, 0}, {rows + 2, 0}, {rows + 3, 0}};
    const Instruction tile{i.op, 0, 1, i.b == kNone ? -1 : 2, i.c == kNone ? -1 : 3, false, false};
    run_instruction<T>(tile, refs, TileShape<T>(1, i.n * kNets<T>));
}

// The weights in each net's own column, for one row.
template <class T>
inline Element<T> hot_column(const Segment& s, int64_t row, const Moment<T>& m) {
    const T* line = m.block + (s.matrix + row * s.row_stride) * kNets<T>;
    Element<T> x = zero_element<T>();
    for (int k = 0; k < kVectors<T>; ++k)
        for (int l = 0; l < kLanes<T>; ++l) {
            const int net = k * kLanes<T> + l;
            if (m.hot[net] >= 0) x.v[k][l] = line[m.hot[net] * s.column_stride * kNets<T> + net];
        }
    return x;
}

// `rows` results at a time, which share what they multiply and do not wait for each other.
template <int rows, class T>
inline void affine_rows(const online::Instruction& i, int64_t first, const Moment<T>& m) {
    const Block<T> block{m.block};
    Element<T> sum[rows];
    for (int r = 0; r < rows; ++r) sum[r] = zero_element<T>();
    for (int64_t j = 0; j < i.row_count; ++j)
        for (int r = 0; r < rows; ++r) sum[r] = sum[r] + block.get(i.rows[j] + first + r);
    for (int64_t j = 0; j < i.segment_count; ++j) {
        const Segment& s = i.segments[j];
        if (s.input && m.hot) {
            for (int r = 0; r < rows; ++r) sum[r] = sum[r] + hot_column(s, first + r, m);
            continue;
        }
        const T* u = block[s.u];
        const T* w = block[s.matrix + first * s.row_stride];
        for (int64_t c = 0; c < s.columns; ++c, u += kNets<T>, w += s.column_stride * kNets<T>) {
            const Element<T> value = element(u);
#pragma GCC unroll 4
            for (int r = 0; r < rows; ++r)
                sum[r] = times_plus(element(w + r * s.row_stride * kNets<T>), value, sum[r]);
        }
    }
    for (int r = 0; r < rows; ++r) sum[r].store_at(block[i.dst + first + r]);
}

template <class T>
inline void run_affine(const online::Instruction& i, const Moment<T>& m) {
    int64_t first = 0;
    for (; first + 4 <= i.n; first += 4) affine_rows<4>(i, first, m);
    if (i.n - first >= 2) affine_rows<2>(i, first, m), first += 2;
    if (first < i.n) affine_rows<1>(i, first, m);
}

template <class T>
inline void run_take(const online::Instruction& i, T* block) {
    const Block<T> at{block};
    for (int64_t j = 0; j < i.n; ++j) at.get(i.a + i.index[j]).store_at(at[i.dst + j]);
}

template <class T>
inline void run_place(const online::Instruction& i, T* block) {
    const Block<T> at{block};
    for (int64_t j = 0; j < i.n; ++j) zero_element<T>().store_at(at[i.dst + j]);
    for (int64_t j = 0; j < i.columns; ++j) {
        T* to = at[i.dst + i.index[j]];
        (element(to) + at.get(i.a + j)).store_at(to);
    }
}

// Adds a value of each net to its own column of a line.
template <class T>
inline void add_hot(T* line, const T* value, const Moment<T>& m) {
    const typename Traits<T>::Int* active = reinterpret_cast<const typename Traits<T>::Int*>(m.active);
    for (int64_t net = 0; net < kNets<T>; ++net)
        if (m.hot[net] >= 0 && (!active || active[net])) line[m.hot[net] * kNets<T> + net] += value[net];
}

// The gradient of weights whose products an error reaches within the step.
template <class T>
inline void run_outer(const online::Instruction& i, const Moment<T>& m) {
    const Block<T> block{m.block};
    for (int64_t r = 0; r < i.n; ++r) {
        const Element<T> error = block.get(i.a + r);
        for (int64_t j = 0; j < i.segment_count; ++j) {
            const Segment& s = i.segments[j];
            T* g = block[s.matrix + r * s.row_stride];
            if (s.input && m.hot) {
                add_hot(g, block[i.a + r], m);
                continue;
            }
            for (int64_t c = 0; c < s.columns; ++c, g += kNets<T>)
                (s.u == kNone ? element(g) + error : times_plus(error, block.get(s.u + c), element(g))).store_at(g);
        }
    }
}

// The gradient of weights that earlier steps felt: errors of the states times sensitivities.
template <class T>
inline void run_collect(const online::Instruction& i, const Moment<T>& m) {
    const Block<T> block{m.block};
    const T* line = block[i.dst];
    for (int64_t p = 0; p < i.pair_count; ++p, line += i.columns * kNets<T>) {
        if (i.pairs[p].value == kNone) continue;
        const Element<T> error = block.get(i.pairs[p].value);
        const T* e = line;
        for (int64_t j = 0; j < i.segment_count; ++j) {
            const Segment& s = i.segments[j];
            T* g = block[s.matrix + i.pairs[p].row * s.row_stride];
            for (int64_t c = 0; c < s.columns; ++c, g += kNets<T>, e += kNets<T>)
                times_plus(error, element(e), element(g)).store_at(g);
        }
    }
}

// e = factor * e + value * u, over n columns; without `scales` the factor is 1.
template <bool masked, bool scales, class T>
inline void trace_line(const Element<T>& factor, const Element<T>& value, const T* u, T* e, int64_t n, const T* active) {
    for (int64_t c = 0; c < n; ++c, e += kNets<T>, u += kNets<T>) {
        const Element<T> left = scales ? factor * element(e) : element(e);
        renew<masked>(e, times_plus(value, element(u), left), active);
    }
}

// What the lines of an instruction grow along, side by side. Returns the columns in front of which the input has its
// index instead.
template <class T>
inline int64_t gather_operands(const online::Instruction& i, const Moment<T>& m) {
    const Block<T> block{m.block};
    int64_t at = i.second, hot = 0;
    for (int64_t j = 0; j < i.segment_count; ++j) {
        const Segment& s = i.segments[j];
        if (s.input && m.hot && j == 0) {
            hot = s.columns;
            at += hot;
            continue;
        }
        for (int64_t c = 0; c < s.columns; ++c, ++at)
            (s.u == kNone ? one_element<T>() : block.get(s.u + c)).store_at(block[at]);
    }
    return hot;
}

template <bool masked, class T>
inline void run_trace(const online::Instruction& i, const Moment<T>& m) {
    const Block<T> block{m.block};
    const int64_t hot = gather_operands(i, m), n = i.columns - hot;
    const T* u = block[i.second + hot];
    T* e = block[i.dst];
    for (const Pair* p = i.pairs; p != i.pairs + i.pair_count; ++p, e += i.columns * kNets<T>) {
        const Element<T> value = p->value == kNone ? zero_element<T>() : block.get(p->value);
        const Element<T> factor = p->factor < 0 ? zero_element<T>() : block.get(p->factor);
        T* dense = e + hot * kNets<T>;
        if (p->factor == kNone) {
            trace_line<masked, false>(factor, value, u, dense, n, m.active);
        } else {
            for (int64_t c = 0; c < hot; ++c) renew<masked>(e + c * kNets<T>, factor * element(e + c * kNets<T>), m.active);
            trace_line<masked, true>(factor, value, u, dense, n, m.active);
        }
        if (hot && p->value != kNone) add_hot(e, block[p->value], m);
    }
}

// `columns` elements of a line from all that the states before have. `u`: what the line grows along there; null: 1.
template <int columns, class T>
inline void exact_columns(const online::Instruction& i, const Pair& pair, const T* u, int64_t first, const Block<T>& block,
                          T* made) {
    Element<T> sum[columns];
    const Element<T> value = pair.value == kNone ? zero_element<T>() : block.get(pair.value);
    for (int c = 0; c < columns; ++c) sum[c] = u ? value * element(u + c * kNets<T>) : value;
    for (const online::Term* t = i.terms + pair.first_term; t != i.terms + pair.first_term + pair.terms; ++t) {
        const T* before = block[i.dst + t->source * i.columns + first];
        if (t->factor == kNone) {
            for (int c = 0; c < columns; ++c) sum[c] = sum[c] + element(before + c * kNets<T>);
            continue;
        }
        const Element<T> factor = block.get(t->factor);
        for (int c = 0; c < columns; ++c) sum[c] = times_plus(factor, element(before + c * kNets<T>), sum[c]);
    }
    for (int c = 0; c < columns; ++c) sum[c].store_at(made + c * kNets<T>);
}

// Lines of sensitivities from all that the states before have, made elsewhere and then put in place.
template <bool masked, class T>
inline void run_exact(const online::Instruction& i, const Moment<T>& m) {
    const Block<T> block{m.block};
    T* made = block[i.second];
    for (const Pair* p = i.pairs; p != i.pairs + i.pair_count; ++p) {
        int64_t column = 0;
        for (const Segment* s = i.segments; s != i.segments + i.segment_count; ++s) {
            const auto u = [&](int64_t c) { return s->u == kNone ? nullptr : block[s->u + c]; };
            const auto step = [&](auto columns, int64_t c) {
                exact_columns<columns.value>(i, *p, u(c), column + c, block, made + (column + c) * kNets<T>);
            };
            int64_t c = 0;
            for (; c + 4 <= s->columns; c += 4) step(std::integral_constant<int, 4>{}, c);
            for (; c < s->columns; ++c) step(std::integral_constant<int, 1>{}, c);
            column += s->columns;
        }
        made += i.columns * kNets<T>;
    }
    for (int64_t k = 0; k < i.pair_count * i.columns; ++k)
        renew<masked>(block[i.dst + k], block.get(i.second + k), m.active);
}

template <class T>
void run_online(const online::Instruction* code, int64_t count, const Moment<T>& m) {
    using online::Kind;
    for (const online::Instruction* i = code; i != code + count; ++i) switch (i->kind) {
            case Kind::elementwise: run_elementwise(*i, m.block); break;
            case Kind::take: run_take(*i, m.block); break;
            case Kind::place: run_place(*i, m.block); break;
            case Kind::affine: run_affine(*i, m); break;
            case Kind::outer: run_outer(*i, m); break;
            case Kind::collect: run_collect(*i, m); break;
            case Kind::trace: m.active ? run_trace<true>(*i, m) : run_trace<false>(*i, m); break;
            case Kind::exact: m.active ? run_exact<true>(*i, m) : run_exact<false>(*i, m); break;
        }
}

template <class T>
void commit_states(T* to, const T* from, int64_t n, const T* active) {
    for (int64_t k = 0; k < n; ++k) {
        const Element<T> value = element(from + k * kNets<T>);
        active ? renew<true>(to + k * kNets<T>, value, active) : renew<false>(to + k * kNets<T>, value, active);
    }
}

template <class T>
void descend(T* w, const T* g, T* v, int64_t n, const T* rate, T momentum, const T* mask) {
    const Element<T> step = element(rate), where = element(mask);
    for (int64_t k = 0; k < n * kNets<T>; k += kNets<T>) {
        const Element<T> gradient = element(g + k) * step;
        Element<T> change;
        for (int j = 0; j < kVectors<T>; ++j)
            change.v[j] = (v ? load(v + k + j * kLanes<T>) * momentum : Vec<T>{}) - gradient.v[j];
        if (v) chosen(where, change, element(v + k)).store_at(v + k);
        chosen(where, element(w + k) + change, element(w + k)).store_at(w + k);
    }
}
