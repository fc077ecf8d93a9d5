// Gradients of parameters and of what is given once a sequence: sums over the steps of a block. Every thread has its own
// part of each gradient and sums over all rows, always in the same order: the bits depend on nothing else.
#pragma once
#include "run/call.hpp"

namespace carousel {

template <class T>
class Reducer {
  public:
    explicit Reducer(Call<T>& call) : call_(call), threads_(call.layout.grid.threads()) {}

    void reduce(Thread<T>& me, Block block) {
        const Program& p = call_.program;
        call_.each_chunk(me, call_.everyone, block, Call<T>::everything, kReduceRows, [&](int64_t count) {
            gather_sources(me, block, count);
            for (const MatrixReductions& m : p.matrix_reductions) matrices(me, m, block, count);
            for (const VectorReduction& v : p.vector_reductions) vector(me, v, block, count);
            me.fresh = false;
        });
        for (const BatchReduction& r : p.batch_reductions) batch(me, r, block);
    }

  private:
    static constexpr int64_t kPanelSize = kReduceRows * kPanel;

    // One of the two factors of a gradient: where its rows are, their width, and the stride of its columns in the gradient.
    struct Side {
        T* const* rows;
        int64_t width, stride;
    };

    // Columns that stand in me.lines.
    struct Lines {
        int64_t first, last;
    };

    // Rows of whole vectors are read where they lie. Others are copied into panels, as are those of other formats.
    bool is_direct(int64_t width) const {
        return call_.kernels.group == 1 && width * int64_t(sizeof(T)) % 64 == 0;
    }

    // What several gradients meet is copied once.
    void gather_sources(Thread<T>& me, Block block, int64_t count) {
        for (const ReductionSource& s : call_.program.reduction_sources) {
            const int64_t width = call_.width_of(s.value);
            if (is_direct(width)) continue;
            call_.look_up(me, 0, s.value, count, block);
            for (int64_t i = 0; i < panels_of(width); ++i) gather(me, s.first_panel, i, me.tables[0], width, count);
        }
    }

    void gather(Thread<T>& me, int64_t first_panel, int64_t i, T* const* rows, int64_t width, int64_t count) {
        call_.kernels.gather_panel(rows, count, i * kPanel, std::min(kPanel, width - i * kPanel),
                                   me.panels + (first_panel + i) * kPanelSize);
    }

    int64_t first_panel_of(int source) const {
        for (const ReductionSource& s : call_.program.reduction_sources)
            if (s.value == source) return s.first_panel;
        return -1;
    }

    // All gradients of one d, whose lines are converted once. A source narrower than a tile takes d's place, so that the
    // vectors are full.
    void matrices(Thread<T>& me, const MatrixReductions& m, Block block, int64_t count) {
        const int64_t n = call_.width_of(m.d);
        call_.look_up(me, 1, m.d, count, block);
        Lines of_d{};
        for (const MatrixReduction& g : m.gradients) {
            call_.look_up(me, 0, g.source, count, block);
            const Side d{me.tables[1], n, call_.stride(g.external, 0)};
            const Side source{me.tables[0], call_.width_of(g.source), call_.stride(g.external, 1)};
            const bool fresh = g.first && me.fresh;
            Lines of_source{};
            if (g.narrow)
                multiply(me, count, source, d, -1, of_source, call_.address(g.external), fresh);
            else
                multiply(me, count, d, source, first_panel_of(g.source), of_d, call_.address(g.external), fresh);
        }
    }

    // gradient(i, j) += sum over rows of a[i] * b[j]. Threads share the strips of kTileRows columns of a or the panels of
    // b, of which there are more. Without a first panel b's panels were not gathered before.
    void multiply(Thread<T>& me, int64_t count, Side a, Side b, int64_t first_panel, Lines& known, T* gradient,
                  bool fresh) {
        const int64_t strip_count = (a.width + kTileRows - 1) / kTileRows, panel_count = panels_of(b.width);
        const bool by_strips = strip_count >= panel_count, direct = is_direct(b.width);
        const Share s = by_strips ? share(strip_count, me.number, threads_) : Share{0, strip_count};
        const Share p = by_strips ? Share{0, panel_count} : share(panel_count, me.number, threads_);
        if (s.empty() || p.empty()) return;
        const int64_t first = s.first * kTileRows, last = std::min(a.width, s.last * kTileRows);
        MatrixGradientCall<T> call{count, a.rows, first, last - first, 0, b.rows, 0, 0, nullptr, a.stride, b.stride, fresh};
        if (call_.kernels.gather_lines) to_lines(me, call, known);
        for (int64_t i = p.first; i < p.last; ++i) {
            if (!direct) {
                if (first_panel < 0) gather(me, call_.program.reduction_panels, i, b.rows, b.width, count);
                call.b = me.panel_rows;
            }
            const int64_t column = i * kPanel, panel = first_panel < 0 ? call_.program.reduction_panels : first_panel;
            call.b_first = direct ? column : (panel + i) * kPanelSize;
            call.columns = std::min(kPanel, b.width - column);
            call.gradient = gradient + first * a.stride + column * b.stride;
            call_.kernels.matrix_gradient(call);
        }
    }

    // Converts the columns of a, unless they are there already, and turns the call to them.
    void to_lines(Thread<T>& me, MatrixGradientCall<T>& call, Lines& known) {
        const Lines wanted{call.a_first, call.a_first + call.a_columns};
        const int64_t stride = panels_of(call.a_columns) * kPanel;
        if (known.first != wanted.first || known.last != wanted.last)
            call_.kernels.gather_lines(call.a, call.rows, wanted.first, call.a_columns, stride, me.lines, me.line_rows);
        known = wanted;
        call.a = me.line_rows;
        call.a_first = 0;
        call.a_stride = stride;
    }

    void vector(Thread<T>& me, const VectorReduction& v, Block block, int64_t count) {
        const int64_t a = call_.width_of(v.a), b = v.b < 0 ? a : call_.width_of(v.b), width = std::max(a, b);
        const Share panels = share(panels_of(width), me.number, threads_);
        if (panels.empty()) return;
        call_.look_up(me, 0, v.a, count, block);
        if (v.b >= 0) call_.look_up(me, 1, v.b, count, block);
        call_.kernels.vector_gradient({count, me.tables[0], v.b < 0 ? nullptr : me.tables[1], a < width, b < width,
                                       panels.first * kPanel, std::min(width, panels.last * kPanel),
                                       call_.address(v.external)});
    }

    void batch(Thread<T>& me, const BatchReduction& r, Block block) {
        const Share mine = share(call_.time.B, me.number, threads_);
        for (int64_t t = block.first; t < block.last; ++t)
            for (int64_t b = mine.first; b < mine.last; ++b) {
                if (t >= call_.time.length(b)) continue;
                me.rows[0] = {int32_t(t), int32_t(b)};
                call_.look_up(me, 0, r.a, 1, block);
                call_.kernels.vector_gradient({1, me.tables[0], nullptr, false, false, 0, call_.width_of(r.a),
                                               call_.places.batch_row(r.external, b)});
            }
    }

    Call<T>& call_;
    const int threads_;
};

}  // namespace carousel
