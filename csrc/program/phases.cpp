// Reading and checking the phases and reductions of a program.
#include <algorithm>
#include <map>
#include <stdexcept>

#include "program/program.hpp"

namespace carousel {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("program: " + what); }

std::string number(int64_t n) { return std::to_string(n); }

}  // namespace

// Builds one tile phase: numbers its operands and checks how each is used.
class TileReader {
  public:
    TileReader(Program& program, Section section, Phase& phase) : program_(program), section_(section), phase_(phase) {}

    void read(const std::vector<Json>& parts) {
        if (parts.size() != 4) fail("a tile phase has a kind, a width, products and code");
        width_ = parts[1].integer("tile's width");
        if (width_ < 1) fail("a tile's width must be positive");
        for (const Json& item : parts[2].array("products")) product(item.array("product", 3));
        for (const Json& item : parts[3].array("code")) instruction(item.array("instruction", 5));
        if (operands_.empty()) fail("a tile phase that does nothing");
        finish();
    }

  private:
    int operand(int value) {
        value = program_.canonical(value);
        auto [at, fresh] = operand_of_.try_emplace(value, int(operands_.size()));
        if (!fresh) return at->second;
        const Value& v = program_.values[size_t(value)];
        Operand o{};
        o.temporary = v.kind == Kind::temporary;
        o.constant = v.kind == Kind::number;
        o.broadcast = !o.constant && v.width == 1 && width_ > 1;
        bool padded = v.kind == Kind::block || v.kind == Kind::line || v.kind == Kind::next || v.kind == Kind::carry_out;
        o.same_rows = v.kind == Kind::vector;
        o.bounded = !o.temporary && !o.constant && (v.is_view || !padded);
        if (!o.constant && !o.broadcast && v.width != width_)
            fail(program_.name_of(value) + " has width " + number(v.width) + " in a phase of width " + number(width_));
        operands_.push_back(o);
        values_.push_back(value);
        if (operands_.size() > kMostOperands) fail("a phase has more than " + number(kMostOperands) + " operands");
        return at->second;
    }

    int read_operand(const Json& json, const char* what) {
        int value = program_.value_number(json, what);
        program_.check_read(section_, value, false);
        int i = operand(value);
        Operand& o = operands_[size_t(i)];
        if (o.temporary && !o.written) fail(program_.name_of(value) + " is read before it is written");
        if (!o.written) o.read_first = true;
        return i;
    }

    int write_operand(const Json& json, const char* what) {
        int value = program_.value_number(json, what);
        program_.check_write(section_, value, true);
        int i = operand(value);
        if (operands_[size_t(i)].broadcast) fail(program_.name_of(value) + " is narrower than the phase that writes it");
        operands_[size_t(i)].written = true;
        return i;
    }

    int source(const Json& json) {
        int value = program_.canonical(program_.value_number(json, "product's source"));
        program_.check_read(section_, value, true);
        auto [at, fresh] = source_of_.try_emplace(value, int(sources_.size()));
        if (fresh) sources_.push_back(value);
        return at->second;
    }

    void product(const std::vector<Json>& parts) {
        Product p{};
        p.init = parts[1].integer("product's init") == -1 ? -1 : read_operand(parts[1], "product's init");
        p.segment_count = 0;
        for (const Json& item : parts[2].array("product's terms")) {
            const auto& term = item.array("product's term", 3);
            int external = program_.external_number(term[0], "product's matrix", Shape::matrix);
            if (program_.externals[size_t(external)].role != Role::in) fail("a product with a matrix that is not an input");
            Segment s{};
            s.source = source(term[2]);
            s.weight = program_.matrix_use(external, term[1].integer("transposed") != 0, width_,
                                           program_.values[size_t(sources_[size_t(s.source)])].width);
            phase_.segments.push_back(s);
            ++p.segment_count;
        }
        if (!p.segment_count) fail("a product without terms");
        p.dst = write_operand(parts[0], "product's destination");
        for (int i : {p.dst, p.init})
            if (i >= 0) operands_[size_t(i)].in_product = true;
        phase_.products.push_back(p);
    }

    void instruction(const std::vector<Json>& parts) {
        const std::string& name = parts[0].string("instruction");
        int op = op_number(name);
        if (op < 0) fail("unknown instruction \"" + name + "\"");
        Instruction i{Op(op), -1, -1, -1, -1, false, false};
        int32_t* sources[] = {&i.a, &i.b, &i.c};
        for (int k = 0; k < op_arity(Op(op)); ++k) *sources[k] = read_operand(parts[size_t(2 + k)], name.c_str());
        i.dst = write_operand(parts[1], name.c_str());
        phase_.instructions.push_back(i);
    }

    void finish() {
        phase_.operands = operands_;
        for (Instruction& i : phase_.instructions) {
            auto ends = [this](int o) { return o >= 0 && operands_[size_t(o)].bounded && !operands_[size_t(o)].in_product; };
            i.bounded_dst = ends(i.dst);
            i.bounded = i.bounded_dst || ends(i.a) || ends(i.b) || ends(i.c);
        }
        for (size_t i = 0; i < values_.size(); ++i) phase_.lookups.push_back(operands_[i].temporary ? -1 : values_[i]);
        phase_.lookups.insert(phase_.lookups.end(), sources_.begin(), sources_.end());
        const Segment* segment = phase_.segments.data();
        for (Product& p : phase_.products) {
            p.segments = segment;
            segment += p.segment_count;
        }
        for (size_t i = phase_.products.size(); i-- > 0;)
            phase_.products[i].alike = 1 + (i + 1 < phase_.products.size() && alike(i) ? phase_.products[i + 1].alike : 0);
        phase_.code = {width_, phase_.operands.data(), int32_t(phase_.operands.size()), phase_.products.data(),
                       int32_t(phase_.products.size()), phase_.instructions.data(), int32_t(phase_.instructions.size())};
    }

    // Whether a product can go side by side with the next, which must not start from what another gives.
    bool alike(size_t i) const {
        const Product &a = phase_.products[i], &b = phase_.products[i + 1];
        auto gives = [&](const Product& p) { return p.dst == b.init; };
        auto same = [](const Segment& s, const Segment& t) { return s.source == t.source; };
        return a.segment_count == b.segment_count &&
               std::equal(a.segments, a.segments + a.segment_count, b.segments, same) &&
               std::none_of(phase_.products.begin(), phase_.products.end(), gives);
    }

    Program& program_;
    Section section_;
    Phase& phase_;
    int64_t width_ = 0;
    std::vector<Operand> operands_;
    std::vector<int> values_, sources_;
    std::map<int, int> operand_of_, source_of_;
};

void Program::read_section(Section section, const Json& list, std::vector<Phase>& phases) {
    const auto& items = list.array("phases");
    phases.reserve(items.size());
    for (const Json& item : items) {
        const auto& parts = item.array("phase");
        if (parts.empty()) fail("an empty phase");
        const std::string& kind = parts[0].string("phase's kind");
        Phase& phase = phases.emplace_back();
        phase.is_tile = kind == "tile";
        if (kind == "tile")
            TileReader(*this, section, phase).read(parts);
        else if (kind == "row")
            read_row(section, parts, phase);
        else
            fail("unknown kind of phase \"" + kind + "\"");
    }
}

namespace {

// Whether the widths of a row operation fit together.
bool row_widths_fit(RowOp op, const std::vector<int64_t>& from, int64_t to, int64_t n) {
    auto full_or_one = [to](int64_t w) { return w == to || w == 1; };
    const int64_t a = from.empty() ? 0 : from[0];
    if (op == RowOp::concat) {
        int64_t sum = 0;
        for (int64_t w : from) sum += w;
        return sum == to;
    }
    if (from.size() != (op == RowOp::normalize_grad ? 3u : op == RowOp::softmax_grad ? 2u : 1u)) return false;
    switch (op) {
        case RowOp::mean:
        case RowOp::sum:
        case RowOp::rstd: return to == 1;
        case RowOp::softmax:
        case RowOp::normalize: return a == to;
        case RowOp::normalize_grad: return full_or_one(a) && full_or_one(from[1]) && from[2] == 1;
        case RowOp::softmax_grad: return full_or_one(a) && full_or_one(from[1]);
        case RowOp::expand: return n > 0 && a * n == to;
        case RowOp::blocksum: return n > 0 && to * n == a;
        case RowOp::slice: return n >= 0 && n + to <= a;
        case RowOp::pad: return n >= 0 && n + a <= to;
        default: return false;
    }
}

}  // namespace

void Program::read_row(Section section, const std::vector<Json>& parts, Phase& phase) {
    if (parts.size() != 6) fail("a row phase has a kind, an operation, results, sources, n and eps");
    const std::string& name = parts[1].string("row operation");
    int op = row_op_number(name);
    if (op < 0) fail("unknown row operation \"" + name + "\"");
    phase.op = RowOp(op);
    for (const Json& item : parts[2].array("row operation's results")) {
        int result = canonical(value_number(item, "row operation's result"));
        check_write(section, result, false);
        phase.lookups.push_back(result);
    }
    phase.results = phase.lookups.size();
    if (phase.results != 1 && (phase.results != 2 || phase.op != RowOp::normalize))
        fail("row operation " + name + " has " + number(int64_t(phase.results)) + " results");
    phase.dst_width = values[size_t(phase.lookups[0])].width;
    if (phase.results == 2 && values[size_t(phase.lookups[1])].width != 1)
        fail("the second result of normalize is 1/std, one column wide");
    for (const Json& item : parts[3].array("row operation's sources")) {
        int source = canonical(value_number(item, "row operation's source"));
        check_read(section, source, true);
        phase.lookups.push_back(source);
        phase.source_widths.push_back(values[size_t(source)].width);
    }
    phase.n = parts[4].is_null() ? 0 : parts[4].integer("row operation's n");
    phase.eps = parts[5].is_null() ? 0 : parts[5].number("row operation's eps");
    if (!row_widths_fit(phase.op, phase.source_widths, phase.dst_width, phase.n))
        fail("the widths of row operation " + name + " do not fit together");
}

void Program::add_matrix_reduction(int external, int d, int source) {
    const int64_t n = values[size_t(d)].width, k = values[size_t(source)].width;
    auto same = [d](const MatrixReductions& m) { return m.d == d; };
    auto at = std::find_if(matrix_reductions.begin(), matrix_reductions.end(), same);
    if (at == matrix_reductions.end()) at = matrix_reductions.insert(at, {d, {}});
    const bool narrow = k < n && k <= 2 * kTileRows;
    at->gradients.push_back({external, source, narrow, false});
    widest_d = std::max(widest_d, n);
    auto known = [source](const ReductionSource& s) { return s.value == source; };
    if (narrow || std::any_of(reduction_sources.begin(), reduction_sources.end(), known)) return;
    reduction_sources.push_back({source, reduction_panels});
    reduction_panels += (k + kPanel - 1) / kPanel;
}

// Narrow ones come first, then marks those that find nothing to add to.
void Program::order_reductions() {
    for (MatrixReductions& m : matrix_reductions) {
        auto is_narrow = [](const MatrixReduction& g) { return g.narrow; };
        std::stable_partition(m.gradients.begin(), m.gradients.end(), is_narrow);
        for (MatrixReduction& g : m.gradients) {
            g.first = std::find(summed.begin(), summed.end(), g.external) == summed.end();
            if (g.first) summed.push_back(g.external);
        }
    }
}

void Program::read_reduce(const Json& list) {
    for (const Json& item : list.array("reduce")) {
        const auto& parts = item.array("reduction");
        if (parts.size() < 3 || parts.size() > 4) fail("a reduction has a kind, an external and one or two values");
        const std::string& kind = parts[0].string("reduction");
        const bool two = parts.size() == 4 && !(kind == "vector" && parts[3].integer("reduction's value") == -1);
        int a = canonical(value_number(parts[2], "reduction's value"));
        int b = two ? canonical(value_number(parts[3], "reduction's value")) : -1;
        check_reducible(a);
        if (b >= 0) check_reducible(b);
        const int64_t wa = values[size_t(a)].width, wb = b < 0 ? wa : values[size_t(b)].width;
        Shape shape = kind == "matrix" ? Shape::matrix : kind == "vector" ? Shape::vector : Shape::batch;
        int external = external_number(parts[1], "reduction's external", shape);
        if (externals[size_t(external)].role != Role::sum || externals[size_t(external)].shape != shape)
            fail("external \"" + externals[size_t(external)].name + "\" cannot take a " + kind + " reduction");
        if (kind == "matrix" && two) {
            set_matrix(external, wa, wb);
            add_matrix_reduction(external, a, b);
        } else if (kind == "vector") {
            if (wa != wb && wa != 1 && wb != 1) fail("a vector reduction of two widths");
            set_width(external, std::max(wa, wb));
            vector_reductions.push_back({external, a, b});
        } else if (kind == "batch" && !two) {
            set_width(external, wa);
            batch_reductions.push_back({external, a});
        } else {
            fail("unknown reduction \"" + kind + "\"");
        }
    }
    order_reductions();
}

}  // namespace carousel
