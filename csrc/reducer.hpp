// Gradients of parameters and of what is given once a sequence: sums over the steps of a block. Every thread has its own
// part of each gradient and sums over all rows, always in the same order: the bits depend on nothing else.
#pragma once
#include "call.hpp"

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

    // One of the two factors of a gradient: rows, and the stride of its columns in the gradient.
    struct Side {
        T** rows;
        int64_t width, stride;
    };

    // Which columns are in me.strips.
    struct Strips {
        int64_t first, last;
    };

    // Rows that several gradients meet are gathered once.
    void gather_sources(Thread<T>& me, Block block, int64_t count) {
        for (const ReductionSource& s : call_.program.reduction_sources) {
            const int64_t width = call_.width_of(s.value);
            call_.look_up(me, 0, s.value, count, block);
            for (int64_t i = 0; i < panels_of(width); ++i)
                call_.kernels.gather_panel(me.tables[0], count, i * kPanel, std::min(kPanel, width - i * kPanel),
                                           me.panels + (s.first_panel + i) * kPanelSize);
        }
    }

    const T* panels_of_source(const Thread<T>& me, int source) const {
        for (const ReductionSource& s : call_.program.reduction_sources)
            if (s.value == source) return me.panels + s.first_panel * kPanelSize;
        return nullptr;
    }

    // All gradients of one d, whose strips are gathered once. A narrow source goes into the strips itself, so that the
    // panels, of d then, are wide.
    void matrices(Thread<T>& me, const MatrixReductions& m, Block block, int64_t count) {
        const int64_t n = call_.width_of(m.d);
        call_.look_up(me, 1, m.d, count, block);
        Strips of_d{};
        for (const MatrixReduction& g : m.gradients) {
            const Side d{me.tables[1], n, call_.stride(g.external, 0)};
            const Side source{me.tables[0], call_.width_of(g.source), call_.stride(g.external, 1)};
            const bool fresh = g.first && me.fresh;
            if (g.narrow) {
                Strips of_source{};
                call_.look_up(me, 0, g.source, count, block);
                multiply(me, count, source, d, nullptr, of_source, call_.address(g.external), fresh);
            } else {
                multiply(me, count, d, source, panels_of_source(me, g.source), of_d, call_.address(g.external), fresh);
            }
        }
    }

    // gradient(i, j) += sum over rows of strips[i] * panels[j]. Threads share the strips or the panels, of which there
    // are more. Panels that were not gathered before are gathered here.
    void multiply(Thread<T>& me, int64_t count, Side strips, Side panels, const T* gathered, Strips& known, T* gradient,
                  bool fresh) {
        const int64_t strip_count = (strips.width + kTileRows - 1) / kTileRows, panel_count = panels_of(panels.width);
        const bool by_strips = strip_count >= panel_count;
        const Share s = by_strips ? share(strip_count, me.number, threads_) : Share{0, strip_count};
        const Share p = by_strips ? Share{0, panel_count} : share(panel_count, me.number, threads_);
        if (s.empty() || p.empty()) return;
        const int64_t first = s.first * kTileRows, last = std::min(strips.width, s.last * kTileRows);
        if (known.first != first || known.last != last) {
            call_.kernels.gather_strips(strips.rows, count, first, last - first, me.strips);
            known = {first, last};
        }
        T* alone = me.panels + call_.program.reduction_panels * kPanelSize;
        for (int64_t i = p.first; i < p.last; ++i) {
            const int64_t column = i * kPanel, columns = std::min(kPanel, panels.width - column);
            if (!gathered) call_.kernels.gather_panel(panels.rows, count, column, columns, alone);
            call_.kernels.matrix_gradient({count, me.strips, last - first, gathered ? gathered + i * kPanelSize : alone,
                                           columns, gradient + first * strips.stride + column * panels.stride,
                                           strips.stride, panels.stride, fresh});
        }
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
