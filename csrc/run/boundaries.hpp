// Where sequences begin and end: final states, gradients of initial states, zeros past the ends.
#pragma once
#include "run/call.hpp"

namespace carousel {

template <class T>
class Boundaries {
  public:
    explicit Boundaries(Call<T>& call) : call_(call), columns_(call.layout.grid.columns) {
        auto ring_final = [](const State& s) { return s.kept < 0 && s.final >= 0; };
        ring_finals_ = std::any_of(call.program.states.begin(), call.program.states.end(), ring_final);
    }

    // After step t of a forward program. States that are not kept are gone two steps later: those of rows that end here
    // are taken out at once.
    void keep_final(const Thread<T>& me, int64_t t, int64_t rows) {
        const Band& band = call_.band_of(me);
        auto ends = [&](int64_t b) { return t == call_.time.last(b); };
        if (!ring_finals_ || !any_row(band, rows, ends)) return;
        call_.meet(me);
        for (size_t k = 0; k < call_.program.states.size(); ++k) {
            const State& s = call_.program.states[k];
            if (s.kept >= 0 || s.final < 0) continue;
            for (int64_t i = me.column; i < rows; i += columns_) {
                const int64_t b = band.rows[i];
                if (ends(b)) copy(call_.places.batch_row(s.final, b), call_.places.state_row(int(k), t, b), s.width);
            }
        }
        call_.meet(me);
    }

    // After step t of a backward program. The gradient that leaves the first step of a row, or a reset one, belongs to
    // what the row started from there.
    void deliver(const Thread<T>& me, int64_t t, int64_t rows) {
        const Band& band = call_.band_of(me);
        auto starts = [&](int64_t b) { return t == call_.time.first(b) || call_.time.reset(t, b); };
        if (!any_row(band, rows, starts)) return;
        call_.meet(me);
        for (size_t k = 0; k < call_.program.states.size(); ++k)
            for (int64_t i = me.column; i < rows; i += columns_)
                if (starts(band.rows[i])) deliver_row(int(k), t, band.rows[i]);
        call_.meet(me);
    }

    // What is left when all steps are done, and all rows of a band have met.
    void finish(const Thread<T>& me) {
        const Band& band = call_.band_of(me);
        for (size_t k = 0; k < call_.program.states.size(); ++k)
            for (int64_t i = me.column; i < band.count; i += columns_) {
                const int64_t b = band.rows[i];
                call_.program.backward ? finish_gradient(int(k), b) : finish_state(int(k), b);
            }
    }

    void clear_past_ends(const Thread<T>& me, Block block) {
        if (!call_.time.lengths) return;
        const Band& band = call_.band_of(me);
        for (size_t e = 0; e < call_.program.externals.size(); ++e) {
            const External& x = call_.program.externals[e];
            if (x.role != Role::out || x.shape != Shape::step) continue;
            for (int64_t t = block.first; t < block.last; ++t)
                for (int64_t i = band.running(call_.time, t) + me.column; i < band.count; i += columns_) {
                    const int64_t row = t * call_.stride(int(e), 0) + band.rows[i] * call_.stride(int(e), 1);
                    std::fill_n(call_.address(int(e)) + row, x.width, T(0));
                }
        }
    }

    void clear_sums(const Thread<T>& me) {
        for (size_t i = 0; i < call_.program.externals.size(); ++i) {
            const External& x = call_.program.externals[i];
            const int e = int(i);
            // the first sums over rows go where nothing is, if there are rows at all
            const auto& summed = call_.program.summed;
            const bool overwritten = call_.arguments.total_rows() && std::find(summed.begin(), summed.end(), e) != summed.end();
            if (x.role != Role::sum || !call_.address(e) || overwritten) continue;
            const bool matrix = x.shape == Shape::matrix;
            const int64_t rows = matrix ? x.rows : x.shape == Shape::batch ? call_.time.B : 1;
            const int64_t columns = matrix ? x.columns : x.width, step = matrix ? call_.stride(e, 1) : 1;
            const Share mine = share(rows, me.number, call_.layout.grid.threads());
            for (int64_t r = mine.first; r < mine.last; ++r) {
                T* out = call_.address(e) + r * call_.stride(e, matrix ? 0 : 1);
                if (step == 1)
                    std::fill_n(out, columns, T(0));
                else
                    for (int64_t j = 0; j < columns; ++j) out[j * step] = T(0);
            }
        }
    }

  private:
    static void copy(T* to, const T* from, int64_t width) { std::copy_n(from, width, to); }

    // Whether any of the rows that run at a step satisfies a condition.
    template <class F>
    static bool any_row(const Band& band, int64_t rows, F condition) {
        return std::any_of(band.rows, band.rows + rows, condition);
    }

    void deliver_row(int k, int64_t t, int64_t b) {
        const State& s = call_.program.states[size_t(k)];
        const bool reset = call_.time.reset(t, b);
        const int target = reset ? s.d_initial : s.d_hx;
        if (!s.carried || target < 0) return;
        const T* from = call_.places.carry_row(k, t, b);
        T* to = call_.places.batch_row(target, b);
        if (!reset) return copy(to, from, s.width);
        for (int64_t j = 0; j < s.width; ++j) to[j] += from[j];
    }

    void finish_state(int k, int64_t b) {
        const State& s = call_.program.states[size_t(k)];
        if (s.final < 0) return;
        T* to = call_.places.batch_row(s.final, b);
        if (call_.time.length(b) == 0)
            copy(to, call_.places.batch_row(s.hx, b), s.width);
        else if (s.kept >= 0)
            copy(to, call_.places.state_row(k, call_.time.last(b), b), s.width);
    }

    void finish_gradient(int k, int64_t b) {
        const State& s = call_.program.states[size_t(k)];
        if (s.d_hx < 0) return;
        T* to = call_.places.batch_row(s.d_hx, b);
        if (call_.time.length(b) == 0)
            copy(to, call_.places.batch_row(s.d_final, b), s.width);
        else if (!s.carried || call_.time.reset(call_.time.first(b), b))
            std::fill_n(to, s.width, T(0));
    }

    Call<T>& call_;
    const int columns_;
    bool ring_finals_;
};

}  // namespace carousel
