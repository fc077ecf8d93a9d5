#include "online/engine/program.hpp"

#include <stdexcept>

#include "program/program.hpp"

namespace carousel::online {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("online program: " + what); }

std::vector<int64_t> integers(const Json& json, const char* what) {
    std::vector<int64_t> found;
    for (const Json& j : json.array(what)) found.push_back(j.integer(what));
    return found;
}

void check_size(const std::vector<Json>& parts, size_t size) {
    if (parts.size() != size) fail("an instruction has " + std::to_string(parts.size()) + " parts");
}

}  // namespace

OnlineProgram::OnlineProgram(const std::string& text) {
    const Json json = Json::parse(text);
    size = json.member("size").integer("size");
    if (size < 1) fail("no elements");
    input = rows(json.member("input"), "input");
    output = rows(json.member("output"), "output");
    reads_input = json.member("reads_input").number("reads_input") != 0;
    for (const Json& j : json.member("seeds").array("seeds")) seeds.push_back(rows(j, "seeds"));
    if (seeds.empty() || seeds.back().n != output.n || seeds.front().n != output.n) fail("seeds");
    for (const Json& j : json.member("states").array("states")) {
        const auto& parts = j.array("state", 4);
        const Rows r{parts[0].integer("state"), parts[1].integer("state")};
        place(parts[0], r.n, "state");
        states.push_back({r, place(parts[2], r.n, "state"), parts[3].number("state")});
    }
    for (const Json& j : json.member("sensitivities").array("sensitivities"))
        sensitivities.push_back(rows(j, "sensitivities"));
    weights = rows(json.member("weights"), "weights");
    gradient = {place(json.member("gradient"), weights.n, "gradient"), weights.n};
    rate = place(json.member("rate"), 1, "rate");
    first_rate = place(json.member("first_rate"), 1, "first_rate");
    pending = place(json.member("pending"), 1, "pending");
    for (const Json& j : json.member("constants").array("constants")) {
        const auto& parts = j.array("constant", 3);
        const int64_t n = parts[1].integer("constant");
        constants.push_back({{place(parts[0], n, "constant"), n}, parts[2].number("constant")});
    }
    forward = code(json.member("forward"));
    reverse = code(json.member("reverse"));
    gradients = code(json.member("gradients"));
    touched = touched_by(gradients, gradient);
    traces = code(json.member("traces"));
    rule = json.member("rule");
    at_once = json.member("at_once").number("at_once") != 0;
}

int64_t OnlineProgram::place(const Json& json, int64_t n, const char* what, bool may_miss) const {
    const int64_t at = json.integer(what);
    if (may_miss && at == kNone) return at;
    if (n < 0 || n > size || at < 0 || at > size - n) fail(std::string(what) + " lies outside");
    return at;
}

Rows OnlineProgram::rows(const Json& json, const char* what) const {
    const auto& parts = json.array(what, 2);
    const int64_t n = parts[1].integer(what);
    return {place(parts[0], n, what), n};
}

std::vector<Instruction> OnlineProgram::code(const Json& list) {
    std::vector<Instruction> found;
    for (const Json& j : list.array("code")) found.push_back(instruction(j.array("instruction")));
    return found;
}

Instruction OnlineProgram::instruction(const std::vector<Json>& parts) {
    if (parts.empty()) fail("an instruction is empty");
    const std::string& name = parts[0].string("operation");
    Instruction i{};
    i.b = i.c = kNone;
    const auto whole = [&](size_t k) { return parts[k].integer("operand"); };
    if (name == "take") {  // n, dst, a, index
        check_size(parts, 5);
        i.kind = Kind::take;
        i.n = whole(1), i.dst = place(parts[2], i.n, "take"), i.a = whole(3);
        auto index = integers(parts[4], "index");
        if (int64_t(index.size()) != i.n) fail("take: another number of indices than rows");
        for (int64_t k : index)
            if (k < 0 || i.a < 0 || i.a + k >= size) fail("take reads outside");
        i.index = keep(numbers_, std::move(index));
    } else if (name == "place") {  // n, dst, a, index
        check_size(parts, 5);
        i.kind = Kind::place;
        i.n = whole(1), i.dst = place(parts[2], i.n, "place");
        auto index = integers(parts[4], "index");
        i.columns = int64_t(index.size());
        i.a = place(parts[3], i.columns, "place");
        for (int64_t k : index)
            if (k < 0 || k >= i.n) fail("place writes outside");
        i.index = keep(numbers_, std::move(index));
    } else if (name == "affine") {  // n, dst, rows, segments
        check_size(parts, 5);
        i.kind = Kind::affine;
        i.n = whole(1), i.dst = place(parts[2], i.n, "affine");
        for (const Json& row : parts[3].array("rows")) place(row, i.n, "affine");
        auto added = integers(parts[3], "rows");
        i.row_count = int64_t(added.size());
        i.rows = keep(numbers_, std::move(added));
        read_segments(parts[4], i.n, true, i);
    } else if (name == "outer") {  // n, a, segments
        check_size(parts, 4);
        i.kind = Kind::outer;
        i.n = whole(1), i.a = place(parts[2], i.n, "outer");
        read_segments(parts[3], i.n, true, i);
    } else if (name == "collect") {  // lines, pairs, segments
        check_size(parts, 4);
        i.kind = Kind::collect;
        i.dst = whole(1);
        read_pairs(parts[2], i);
        int64_t n = 0;
        for (int64_t k = 0; k < i.pair_count; ++k) n = std::max(n, i.pairs[k].row + 1);
        read_segments(parts[3], n, false, i);
        check_lines(i, i.dst, i.pair_count);
    } else if (name == "trace" || name == "exact") {  // lines, operands or lines made, pairs, segments
        check_size(parts, 5);
        i.kind = name == "trace" ? Kind::trace : Kind::exact;
        i.dst = whole(1), i.second = whole(2);
        read_pairs(parts[3], i);
        read_segments(parts[4], 1, true, i);
        check_lines(i, i.dst, i.pair_count);
        check_lines(i, i.second, i.kind == Kind::trace ? 1 : i.pair_count);
    } else {
        read_elementwise(parts, i);
    }
    return i;
}

// name, n, dst, operands
void OnlineProgram::read_elementwise(const std::vector<Json>& parts, Instruction& i) {
    const std::string& name = parts[0].string("operation");
    const int number = op_number(name);
    if (number < 0) fail("there is no operation " + name);
    i.kind = Kind::elementwise;
    i.op = Op(number);
    const int arity = op_arity(i.op);
    check_size(parts, size_t(3 + arity));
    i.n = parts[1].integer("n");
    i.dst = place(parts[2], i.n, "result");
    int64_t* const operands[] = {&i.a, &i.b, &i.c};
    for (int k = 0; k < arity; ++k) *operands[k] = place(parts[size_t(3 + k)], i.n, "operand");
}

// Each: matrix, row_stride, column_stride, u, columns, input; `n` is how many rows of the matrix are met.
void OnlineProgram::read_segments(const Json& list, int64_t n, bool reads, Instruction& i) {
    std::vector<Segment> found;
    for (const Json& j : list.array("segments")) {
        const auto part = integers(j, "segment");
        if (part.size() != 6) fail("a segment has " + std::to_string(part.size()) + " parts");
        const Segment s{part[0], part[1], part[2], part[3], part[4], part[5] != 0};
        const int64_t last = s.matrix + (n - 1) * s.row_stride + (s.columns - 1) * s.column_stride;
        if (s.matrix < 0 || s.row_stride < 0 || s.column_stride < 0 || s.columns < 1 || n < 1 || last >= size)
            fail("a matrix lies outside");
        if (reads && s.u != kNone && (s.u < 0 || s.u > size - s.columns)) fail("a row that meets a matrix lies outside");
        if (s.input && (s.u != input.at || s.columns != input.n)) fail("a segment is not of the input");
        if (s.u == kNone && s.columns != 1) fail("a bias of several columns");
        i.columns += s.columns;
        found.push_back(s);
    }
    i.segment_count = int64_t(found.size());
    i.segments = keep(segments_, std::move(found));
}

// Each: value, factor, row, terms (factor, source).
void OnlineProgram::read_pairs(const Json& list, Instruction& i) {
    std::vector<Pair> found;
    std::vector<Term> terms;
    const auto& pairs = list.array("pairs");
    for (const Json& j : pairs) {
        const auto& part = j.array("pair", 4);
        Pair p{place(part[0], 1, "pair", true), part[1].integer("pair"), part[2].integer("pair"), int64_t(terms.size()), 0};
        if (p.factor != kNothing) place(part[1], 1, "pair", true);
        if (p.row < 0 || p.row >= size) fail("a pair is of no row");
        for (const Json& term : part[3].array("terms")) {
            const auto& t = term.array("term", 2);
            terms.push_back({place(t[0], 1, "term", true), t[1].integer("term")});
            if (terms.back().source < 0 || terms.back().source >= int64_t(pairs.size())) fail("a term is of no pair");
        }
        p.terms = int64_t(terms.size()) - p.first_term;
        found.push_back(p);
    }
    i.pair_count = int64_t(found.size());
    i.pairs = keep(pairs_, std::move(found));
    i.terms = keep(terms_, std::move(terms));
}

void OnlineProgram::check_lines(const Instruction& i, int64_t at, int64_t lines) const {
    if (at < 0 || at > size || lines * i.columns > size - at) fail("sensitivities lie outside");
}

}  // namespace carousel::online
