#include "program/program.hpp"

#include <algorithm>
#include <stdexcept>

namespace carousel {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("program: " + what); }

template <size_t N>
int find_name(const char* const (&names)[N], const std::string& name) {
    for (size_t i = 0; i < N; ++i)
        if (name == names[i]) return int(i);
    return -1;
}

constexpr const char* kOps[] = {
    "copy", "neg",  "sigmoid", "tanh", "exp",   "log",   "softplus", "relu",     "abs",
    "sign", "sqrt", "sin",     "cos",  "floor", "recip", "positive", "add",      "sub",
    "mul",  "div",  "maximum", "minimum", "lt", "le",    "gt",       "ge",       "eq",
    "ne",   "fma",  "fms",     "fnma", "where", "clip",  "dsigmoid", "dtanh"};
constexpr const char* kRowOps[] = {"mean",         "sum",    "softmax",  "normalize", "rstd", "normalize_grad",
                                   "softmax_grad", "expand", "blocksum", "slice",     "pad",  "concat"};
constexpr const char* kShapes[] = {"step", "batch", "vector", "matrix"};
constexpr const char* kRoles[] = {"in", "out", "keep", "sum"};
constexpr const char* kKinds[] = {"number", "step", "batch", "vector", "previous", "new",
                                  "block",  "line", "temp",  "carry",  "carry_out"};

}  // namespace

int op_number(const std::string& name) { return find_name(kOps, name); }
int row_op_number(const std::string& name) { return find_name(kRowOps, name); }

int op_arity(Op op) {
    if (op < Op::add || op == Op::dsigmoid || op == Op::dtanh) return op < Op::add ? 1 : 2;
    return op < Op::fma ? 2 : 3;
}

Program::Program(const std::string& text) {
    const Json json = Json::parse(text);
    read_externals(json.member("externals"));
    read_states(json.member("states"));
    read_values(json.member("values"));
    read_section(Section::before, json.member("before"), before);
    read_section(Section::loop, json.member("loop"), loop);
    read_section(Section::after, json.member("after"), after);
    if (json.has("reduce")) read_reduce(json.member("reduce"));
    check_widths();
    plan_meetings();
}

void Program::read_externals(const Json& list) {
    for (const Json& item : list.array("externals")) {
        const auto& parts = item.array("external", 3);
        int shape = find_name(kShapes, parts[0].string("external's shape"));
        int role = find_name(kRoles, parts[1].string("external's role"));
        if (shape < 0) fail("unknown shape \"" + parts[0].string("") + "\" of an external");
        if (role < 0) fail("unknown role \"" + parts[1].string("") + "\" of an external");
        externals.push_back({Shape(shape), Role(role), parts[2].string("external's name")});
    }
}

int Program::external_number(const Json& json, const char* what, Shape shape, bool may_miss) const {
    int64_t i = json.integer(what);
    if (may_miss && i == -1) return -1;
    if (i < 0 || i >= int64_t(externals.size()))
        fail(std::string(what) + ": there is no external " + std::to_string(i));
    const External& e = externals[size_t(i)];
    bool row_of_batch = shape == Shape::batch && e.shape == Shape::vector;  // one row for the whole batch
    if (e.shape != shape && !row_of_batch)
        fail(std::string(what) + ": external \"" + e.name + "\" has shape " + kShapes[int(e.shape)] + ", expected " +
             kShapes[int(shape)]);
    return int(i);
}

void Program::set_width(int external, int64_t width) {
    if (external < 0) return;
    External& e = externals[size_t(external)];
    if (e.width && e.width != width)
        fail("external \"" + e.name + "\" is used with widths " + std::to_string(e.width) + " and " +
             std::to_string(width));
    e.width = width;
}

void Program::set_matrix(int external, int64_t rows, int64_t columns) {
    External& e = externals[size_t(external)];
    if (e.rows && (e.rows != rows || e.columns != columns))
        fail("matrix \"" + e.name + "\" is used as (" + std::to_string(e.rows) + ", " + std::to_string(e.columns) +
             ") and as (" + std::to_string(rows) + ", " + std::to_string(columns) + ")");
    e.rows = rows;
    e.columns = columns;
}

void Program::read_states(const Json& list) {
    const auto& items = list.array("states");
    backward = !items.empty() && items[0].array("state").size() == 8;
    for (const Json& item : items) {
        const auto& p = item.array("state", backward ? 8 : 5);
        auto external = [&](size_t i, const char* what, Shape shape, Role role) {
            int e = external_number(p[i], what, shape, true);
            if (e >= 0 && role != Role::in && externals[size_t(e)].shape != shape)
                fail(std::string(what) + ": expected shape " + kShapes[int(shape)]);
            if (e >= 0 && externals[size_t(e)].role != role)
                fail(std::string(what) + ": external \"" + externals[size_t(e)].name + "\" has not role " +
                     kRoles[int(role)]);
            return e;
        };
        State s{};
        s.width = p[0].integer("state's width");
        if (s.width < 1) fail("a state's width must be positive");
        s.hx = external(1, "state's hx", Shape::batch, Role::in);
        s.initial = external(2, "state's initial", Shape::batch, Role::in);
        s.kept = external_number(p[backward ? 3 : 4], "state's kept", Shape::step, true);
        if (s.kept >= 0 && (externals[size_t(s.kept)].role == Role::in) != backward)
            fail("state's kept: external \"" + externals[size_t(s.kept)].name + "\" has the wrong role");
        if (backward) {
            s.d_final = external(4, "state's d_final", Shape::batch, Role::in);
            s.d_hx = external(5, "state's d_hx", Shape::batch, Role::out);
            s.d_initial = external(6, "state's d_initial", Shape::batch, Role::sum);
            s.carried = p[7].integer("state's carried") != 0;
        } else {
            s.final = external(3, "state's final", Shape::batch, Role::out);
        }
        for (int e : {s.hx, s.initial, s.kept, s.final, s.d_final, s.d_hx, s.d_initial}) set_width(e, s.width);
        widest = std::max(widest, s.width);
        states.push_back(s);
    }
}

void Program::read_values(const Json& list) {
    for (const Json& item : list.array("values")) {
        const auto& parts = item.array("value", 3);
        const int number = int(values.size());
        const std::string& kind = parts[0].string("value's kind");
        Value v{};
        v.width = parts[1].integer("value's width");
        v.object = number;
        v.extra = -1;
        if (v.width < 1) fail("value " + std::to_string(number) + ": the width must be positive");
        widest = std::max(widest, v.width);
        if (kind == "view") {
            values.push_back(v);
            read_view(number, parts[2]);
            continue;
        }
        int which = find_name(kKinds, kind);
        if (which < 0) fail("value " + std::to_string(number) + ": unknown kind \"" + kind + "\"");
        v.kind = Kind(which);
        if (v.kind == Kind::number) v.number = parts[2].number("number");
        if (v.kind == Kind::step || v.kind == Kind::batch || v.kind == Kind::vector) {
            Shape shape = v.kind == Kind::step ? Shape::step : v.kind == Kind::batch ? Shape::batch : Shape::vector;
            v.extra = external_number(parts[2], "value's external", shape);
            if (v.kind == Kind::batch && externals[size_t(v.extra)].shape == Shape::vector) v.kind = Kind::vector;
            set_width(v.extra, v.width);
        }
        if (v.kind == Kind::previous || v.kind == Kind::next || v.kind >= Kind::carry) {
            int64_t k = parts[2].integer("value's state");
            if (k < 0 || k >= int64_t(states.size())) fail("value " + std::to_string(number) + ": no such state");
            v.extra = int(k);
            if (states[size_t(k)].width != v.width)
                fail("value " + std::to_string(number) + ": its width is not that of state " + std::to_string(k));
            if (v.kind >= Kind::carry && !backward) fail("a forward program has no carry");
            if (v.kind == Kind::carry_out && !states[size_t(k)].carried)
                fail("state " + std::to_string(k) + " is not carried, but has a carry_out");
            if (v.kind == Kind::next && states[size_t(k)].kept >= 0) {
                v.kind = Kind::step;
                v.extra = states[size_t(k)].kept;
            }
        }
        values.push_back(v);
        values.back().object = canonical(number);
    }
}

// Views of views are views of the first value, so that every operand is a storage and a column.
void Program::read_view(int number, const Json& extra) {
    const auto& parts = extra.array("view", 2);
    int base = value_number(parts[0], "view's value");
    int64_t offset = parts[1].integer("view's column");
    const Value& from = values[size_t(base)];
    if (base >= number) fail("value " + std::to_string(number) + ": a view of a later value");
    if (from.kind == Kind::temporary) fail("value " + std::to_string(number) + ": a view of a temporary");
    Value v = from;
    v.width = values[size_t(number)].width;
    if (offset < 0 || offset + v.width > from.width)
        fail("value " + std::to_string(number) + ": the view reaches past the width of value " + std::to_string(base));
    v.offset = from.offset + offset;
    v.is_view = v.is_view || v.width != from.width;
    values[size_t(number)] = v;
}

int Program::value_number(const Json& json, const char* what) const {
    int64_t i = json.integer(what);
    if (i < 0 || i >= int64_t(values.size())) fail(std::string(what) + ": there is no value " + std::to_string(i));
    return int(i);
}

// The first value that names the same storage and columns: within a phase each has one operand only.
int Program::canonical(int value) const {
    const Value& v = values[size_t(value)];
    for (int i = 0; i < value; ++i) {
        const Value& other = values[size_t(i)];
        if (v.kind != other.kind || v.width != other.width || v.offset != other.offset) continue;
        bool scratch = v.kind == Kind::block || v.kind == Kind::line || v.kind == Kind::temporary;
        bool same = scratch ? v.object == other.object : v.extra == other.extra;
        if (v.kind == Kind::number) same = v.number == other.number;
        if (same) return i;
    }
    return value;
}

std::string Program::name_of(int value) const {
    return "value " + std::to_string(value) + " (" + kKinds[int(values[size_t(value)].kind)] + ")";
}

void Program::check_read(Section section, int value, bool whole_row) const {
    const Value& v = values[size_t(value)];
    bool of_step = v.kind == Kind::line || v.kind == Kind::carry || v.kind == Kind::carry_out || v.kind == Kind::next;
    if (v.kind == Kind::previous) of_step = states[size_t(v.extra)].kept < 0;
    if (of_step && section != Section::loop) fail(name_of(value) + " is read outside the loop");
    if (of_step && backward && (v.kind == Kind::previous || v.kind == Kind::next))
        fail(name_of(value) + " belongs to a state that is not kept");
    if (whole_row && v.kind == Kind::temporary) fail(name_of(value) + " is read outside its tile");
}

void Program::check_write(Section section, int value, bool tile) const {
    const Value& v = values[size_t(value)];
    bool ok = v.kind == Kind::block || (v.kind == Kind::temporary && tile);
    if (v.kind == Kind::step) {
        Role role = externals[size_t(v.extra)].role;
        ok = role == Role::out || role == Role::keep;
    }
    if (v.kind == Kind::line || v.kind == Kind::carry_out || v.kind == Kind::next)
        ok = section == Section::loop && !(backward && v.kind == Kind::next);
    if (!ok) fail(name_of(value) + " cannot be written there");
}

void Program::check_reducible(int value) const {
    const Value& v = values[size_t(value)];
    if (v.kind == Kind::temporary) fail(name_of(value) + " is reduced outside its tile");
    check_read(Section::after, value, true);
}

int Program::matrix_use(int external, bool transposed, int64_t n, int64_t k) {
    set_matrix(external, transposed ? k : n, transposed ? n : k);
    for (size_t i = 0; i < matrices.size(); ++i)
        if (matrices[i].external == external && matrices[i].transposed == transposed) return int(i);
    matrices.push_back({external, transposed, n, k});
    return int(matrices.size()) - 1;
}

void Program::check_widths() const {
    for (const External& e : externals) {
        if (e.role == Role::in) continue;
        if (e.shape == Shape::matrix ? !e.rows : !e.width) fail("external \"" + e.name + "\" is never written");
    }
}

}  // namespace carousel
