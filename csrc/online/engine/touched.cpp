#include "online/engine/touched.hpp"

#include <algorithm>

namespace carousel::online {
namespace {

struct Found {
    Matrix matrix;
    bool column;  // one of it a net, where the input is an index

    int64_t end() const { return matrix.at + matrix.rows * matrix.columns; }
    bool meets(const Found& other) const { return matrix.at < other.end() && other.matrix.at < end(); }
};

// How many rows of a matrix an instruction adds to.
int64_t rows_of(const Instruction& i) {
    int64_t n = i.kind == Kind::outer ? i.n : 0;
    for (const Pair* p = i.pairs; p != i.pairs + i.pair_count; ++p) n = std::max(n, p->row + 1);
    return n;
}

std::vector<Found> all_of(const std::vector<Instruction>& gradients, int64_t first) {
    std::vector<Found> found;
    for (const Instruction& i : gradients)
        for (const Segment* s = i.segments; s != i.segments + i.segment_count; ++s) {
            const int64_t rows = rows_of(i);
            const bool column = i.kind == Kind::outer && s->input && s->row_stride == s->columns && s->column_stride == 1;
            const int64_t last = (rows - 1) * s->row_stride + (s->columns - 1) * s->column_stride;
            const Matrix all = column ? Matrix{s->matrix - first, rows, s->columns} : Matrix{s->matrix - first, 1, last + 1};
            found.push_back({all, column});
        }
    return found;
}

bool same(const Matrix& a, const Matrix& b) { return a.at == b.at && a.rows == b.rows && a.columns == b.columns; }

}  // namespace

Touched touched_by(const std::vector<Instruction>& gradients, Rows gradient) {
    const std::vector<Found> all = all_of(gradients, gradient.at);
    Touched touched;
    for (const Found& f : all) {
        const auto clashes = [&](const Found& g) { return f.meets(g) && !(g.column && same(f.matrix, g.matrix)); };
        const auto is_same = [&](const Matrix& m) { return same(f.matrix, m); };
        const bool inside = f.matrix.at >= 0 && f.end() <= gradient.n;
        if (f.column && inside && std::none_of(all.begin(), all.end(), clashes) &&
            std::none_of(touched.columns.begin(), touched.columns.end(), is_same))
            touched.columns.push_back(f.matrix);
    }
    std::sort(touched.columns.begin(), touched.columns.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    int64_t at = 0;
    const auto up_to = [&](int64_t end) {
        if (end > at) touched.wholly.push_back({at, end - at});
    };
    for (const Matrix& m : touched.columns) up_to(m.at), at = m.at + m.rows * m.columns;
    up_to(gradient.n);
    return touched;
}

}  // namespace carousel::online
