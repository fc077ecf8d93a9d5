// Running the phases: over all rows of a block, and step by step in the loop.
#pragma once
#include "run/call.hpp"

namespace carousel {

template <class T>
class Stepper {
  public:
    explicit Stepper(Call<T>& call) : call_(call), columns_(call.layout.grid.columns) {}

    // Phases over all steps of a block. Threads of a band share the rows if there are enough, else the columns; in the
    // end they meet.
    void section(Thread<T>& me, const std::vector<Phase>& phases, Block block) {
        if (phases.empty()) return;
        const Band& band = call_.band_of(me);
        const int64_t rows = columns_ == 1 ? 0 : rows_in(band, block);
        if (columns_ > 1 && rows < 2 * kTileRows * columns_) {
            for (const Phase& phase : phases) {
                shared_phase(me, phase, block, block, rows);
                call_.meet(me);
            }
            return;
        }
        const Share mine = columns_ == 1 ? Call<T>::everything : share(rows, me.column, columns_);
        call_.each_chunk(me, band, block, mine, kChunkRows, [&](int64_t count) {
            for (const Phase& phase : phases) run_phase(me, phase, count, block, all_panels(phase));
        });
        call_.meet(me);
    }

    // The loop's phases for the rows that run at step t.
    void step(Thread<T>& me, int64_t t, int64_t rows, Block block) {
        const Block only{t, t + 1};
        if (columns_ == 1) {
            call_.each_chunk(me, call_.band_of(me), only, Call<T>::everything, kChunkRows, [&](int64_t count) {
                for (const Phase& phase : call_.program.loop) run_phase(me, phase, count, block, all_panels(phase));
            });
            return;
        }
        for (const Phase& phase : call_.program.loop) {
            if (phase.meet) call_.meet(me);
            shared_phase(me, phase, only, block, rows);
        }
    }

  private:
    // One phase of rows that all threads of the band work on, each computing its columns, or its rows of a row operation.
    void shared_phase(Thread<T>& me, const Phase& phase, Block steps, Block block, int64_t rows) {
        const Share panels = phase.is_tile ? share(panels_of(phase.code.width), me.column, columns_) : Share{0, 1};
        const Share mine = phase.is_tile ? Share{0, rows} : share(rows, me.column, columns_);
        if (panels.empty() || mine.empty()) return;
        call_.each_chunk(me, call_.band_of(me), steps, mine, kChunkRows,
                         [&](int64_t count) { run_phase(me, phase, count, block, panels); });
    }

    void run_phase(Thread<T>& me, const Phase& phase, int64_t count, Block block, Share panels) {
        for (size_t i = 0; i < phase.lookups.size(); ++i)
            if (phase.lookups[i] >= 0) call_.look_up(me, int(i), phase.lookups[i], count, block);
        convert_sources(me, phase, count);
        if (phase.is_tile)
            call_.kernels.tile({&phase.code, call_.weights.data(), call_.layout.direct, me.tables, count, panels.first,
                                panels.last, me.tiles});
        else
            call_.kernels.row({phase.op, count, me.tables[0], phase.results > 1 ? me.tables[1] : nullptr, phase.dst_width,
                               me.tables + phase.results, phase.source_widths.data(),
                               int32_t(phase.source_widths.size()), phase.n, T(phase.eps)});
    }

    // Once for all panels of the phase.
    void convert_sources(Thread<T>& me, const Phase& phase, int64_t count) {
        if (!call_.kernels.convert || call_.layout.direct || !phase.is_tile) return;
        T* out = me.converted;
        for (size_t i = phase.operands.size(); i < phase.lookups.size(); ++i) {
            const int64_t width = call_.width_of(phase.lookups[i]);
            call_.kernels.convert(me.tables[i], count, width, out);
            out += count * call_.kernels.converted(width);
        }
    }

    static Share all_panels(const Phase& phase) { return {0, phase.is_tile ? panels_of(phase.code.width) : 1}; }

    int64_t rows_in(const Band& band, Block block) const {
        int64_t n = 0;
        for (int64_t t = block.first; t < block.last; ++t) n += band.running(call_.time, t);
        return n;
    }

    Call<T>& call_;
    const int columns_;
};

}  // namespace carousel
