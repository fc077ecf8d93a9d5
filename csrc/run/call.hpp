// Everything that belongs to one call: where its rows lie, who computes what, and scratch for each thread.
#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/kernels.hpp"
#include "run/packed.hpp"
#include "run/places.hpp"
#include "run/plan.hpp"
#include "run/pool.hpp"
#include "program/program.hpp"

namespace carousel {

// Some of 0..n: what the i-th of m has.
struct Share {
    int64_t first, last;

    bool empty() const { return first >= last; }
};

inline Share share(int64_t n, int i, int m) { return {n * i / m, n * (i + 1) / m}; }

// Steps first..last, upwards, whichever way they are walked.
struct Block {
    int64_t first, last;
};

template <class T>
struct Thread {
    int number, band, column;
    Row* rows;           // those that are being worked on: up to kChunkRows, or kReduceRows in reductions
    T*** tables;         // tables of their addresses
    T** tiles;           // a tile's rows of scratch for each operand of a phase
    T* converted;        // the sources of a phase's products, in the format of the kernels
    T *panels, *lines;   // of reductions: rows in the format of the kernels
    T **panel_rows, **line_rows;
    bool fresh = true;   // no gradient has been summed yet
};

template <class T>
class Call {
  public:
    // With weights that were packed before, memory is the call's own, for as long as it lives; otherwise it is borrowed.
    Call(const Program& program, const Arguments& arguments, int threads, const Kernels<T>& kernels,
         const PackedWeights<T>* packed = nullptr)
        : program(program),
          arguments(arguments),
          kernels(kernels),
          packed_before(packed),
          time{arguments.T, arguments.B, arguments.reverse, arguments.lengths, arguments.resets},
          layout(plan_layout(program, time.T, time.B, arguments.total_rows(),
                             Places<T>::block_bytes_per_step(program, time.B),
                             {int64_t(sizeof(T)) * kernels.words, kernels.group}, threads, packed_before)),
          arena_(packed ? Arena::Memory::own : Arena::Memory::borrowed),
          places(program, arguments, time, layout.block_steps, arena_),
          weights(packed ? packed->weights() : find_weights<T>(program, arguments)) {
        deal_rows();
        if (!packed && !layout.direct) prepare_packing();
        prepare_threads();
    }

    Call(const Call&) = delete;

    T* address(int external) const { return reinterpret_cast<T*>(arguments.pointers[size_t(external)]); }

    // The two strides of an external: of steps and rows of the batch, or of rows and columns of a matrix.
    int64_t stride(int external, int which) const { return arguments.strides[size_t(2 * external + which)]; }

    int64_t width_of(int value) const { return program.values[size_t(value)].width; }

    const Band& band_of(const Thread<T>& me) const { return bands[size_t(me.band)]; }

    // Waits for the threads that share rows with this one.
    void meet(const Thread<T>& me) { meetings_[size_t(me.band)].wait(); }

    void meet_all() { all_.wait(); }

    void look_up(Thread<T>& me, int table, int value, int64_t count, Block block) const {
        places.look_up(value, me.rows, count, block.first, me.tables[table]);
    }

    // Calls f(count) for chunks of those of a band's rows that run in the block, `wanted` of all in the order of steps,
    // with their names in me.rows.
    template <class F>
    void each_chunk(Thread<T>& me, const Band& band, Block block, Share wanted, int64_t chunk, F f) const {
        int64_t seen = 0, count = 0;
        for (int64_t t = block.first; t < block.last && seen < wanted.last; ++t) {
            const int64_t running = band.running(time, t), end = std::min(running, wanted.last - seen);
            for (int64_t i = std::max<int64_t>(0, wanted.first - seen); i < end; ++i) {
                me.rows[count++] = {int32_t(t), band.rows[i]};
                if (count == chunk) {
                    f(count);
                    count = 0;
                }
            }
            seen += running;
        }
        if (count) f(count);
    }

    static constexpr Share everything{0, int64_t(1) << 62};

    const Program& program;
    const Arguments& arguments;
    const Kernels<T>& kernels;
    const bool packed_before;
    const Timeline time;
    const Layout layout;

  private:
    Arena arena_;

  public:
    const Places<T> places;
    std::vector<Band> bands;
    Band everyone{};  // all rows of the batch, the longest first
    std::vector<Weight<T>> weights;
    std::vector<Thread<T>> threads;

  private:
    // Longest rows first, dealt out forwards and backwards in turn, so that every band has about as much to do.
    // Without lengths each band has neighbouring rows.
    void deal_rows() {
        const int n = layout.grid.bands;
        order_.resize(size_t(time.B));
        std::iota(order_.begin(), order_.end(), 0);
        auto longer = [this](int32_t a, int32_t b) { return time.lengths[a] > time.lengths[b]; };
        if (time.lengths) std::stable_sort(order_.begin(), order_.end(), longer);
        everyone = {order_.data(), time.B};
        dealt_.reserve(size_t(time.B));  // bands point into it
        for (int g = 0; g < n; ++g) {
            const Share mine = share(time.B, g, n);
            const int32_t* first = dealt_.data() + dealt_.size();
            for (int64_t i = 0; i < time.B; ++i) {
                const int turn = int(i % (2 * n)), dealt_to = turn < n ? turn : 2 * n - 1 - turn;
                const bool is_mine = time.lengths ? dealt_to == g : i >= mine.first && i < mine.last;
                if (is_mine) dealt_.push_back(order_[size_t(i)]);
            }
            bands.push_back({first, dealt_.data() + dealt_.size() - first});
        }
    }

    void prepare_packing() {
        for (Weight<T>& w : weights) w.packed = arena_.take<T>(packed_size(w, kernels));
    }

    void prepare_threads() {
        size_t tables = 2, operands = 1;
        int64_t converted = 0;
        for (const auto* phases : {&program.before, &program.loop, &program.after})
            for (const Phase& p : *phases) {
                tables = std::max(tables, p.lookups.size());
                operands = std::max(operands, p.operands.size());
                converted = std::max(converted, converted_width(p));
            }
        const int columns = layout.grid.columns;
        all_.reset(layout.grid.threads());
        meetings_ = std::vector<Barrier>(size_t(layout.grid.bands));
        for (Barrier& b : meetings_) b.reset(columns);
        for (int i = 0; i < layout.grid.threads(); ++i)
            threads.push_back(make_thread(i, int64_t(tables), int64_t(operands), converted));
    }

    Thread<T> make_thread(int number, int64_t tables, int64_t operands, int64_t converted) {
        constexpr int64_t rows = std::max(kChunkRows, kReduceRows);
        Thread<T> t{};
        t.number = number;
        t.band = number / layout.grid.columns;
        t.column = number % layout.grid.columns;
        t.rows = arena_.take<Row>(rows);
        t.tables = arena_.take<T**>(tables);
        T** pointers = arena_.take<T*>(tables * rows);
        for (int64_t i = 0; i < tables; ++i) t.tables[i] = pointers + i * rows;
        t.tiles = arena_.take<T*>(operands * kernels.tile_rows);
        T* scratch = arena_.take<T>(operands * kernels.tile_rows * kPanel);
        for (int64_t i = 0; i < operands * kernels.tile_rows; ++i) t.tiles[i] = scratch + i * kPanel;
        t.converted = arena_.take<T>(converted * kChunkRows);
        if (program.widest_d) {
            const int64_t widest = panels_of(program.widest_d);
            t.panels = arena_.take<T>(kReduceRows * kPanel * (program.reduction_panels + widest));
            if (kernels.gather_lines) t.lines = arena_.take<T>(kReduceRows * kPanel * widest);
            t.panel_rows = arena_.take<T*>(2 * kReduceRows);
            t.line_rows = t.panel_rows + kReduceRows;
            for (int64_t r = 0; r < kReduceRows; ++r) t.panel_rows[r] = t.panels + r * kPanel;
        }
        return t;
    }

    // Elements that a row of all sources of a phase becomes.
    int64_t converted_width(const Phase& phase) const {
        int64_t width = 0;
        if (kernels.convert && !layout.direct)
            for (size_t i = phase.operands.size(); phase.is_tile && i < phase.lookups.size(); ++i)
                width += kernels.converted(width_of(phase.lookups[i]));
        return width;
    }

    std::vector<int32_t> order_, dealt_;
    std::vector<Barrier> meetings_;
    Barrier all_;
};

}  // namespace carousel
