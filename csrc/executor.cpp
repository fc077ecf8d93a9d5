#include "executor.hpp"

#include <cstring>
#include <numeric>
#include <stdexcept>

#include "plan.hpp"
#include "pool.hpp"

namespace carousel {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("run: " + what); }

void check_arguments(const Program& program, const Arguments& a) {
    const size_t n = program.externals.size();
    if (a.pointers.size() != n || a.strides.size() != 2 * n)
        fail("the program has " + std::to_string(n) + " externals, but there are " + std::to_string(a.pointers.size()) +
             " pointers and " + std::to_string(a.strides.size()) + " strides (two an external)");
    constexpr int64_t most = int64_t(1) << 31;
    if (a.T < 0 || a.B < 0 || a.T >= most || a.B >= most) fail("T and B must not be negative or exceed 2^31");
    if (a.threads < 1) fail("threads is " + std::to_string(a.threads) + ", expected at least 1");
    for (int64_t b = 0; a.lengths && b < a.B; ++b)
        if (a.lengths[b] < 0 || a.lengths[b] > a.T)
            fail("length " + std::to_string(a.lengths[b]) + " of row " + std::to_string(b) + " is not in 0.." +
                 std::to_string(a.T));
    for (size_t i = 0; i < n; ++i) {
        const External& e = program.externals[i];
        const bool empty = (e.shape == Shape::step && a.T * a.B == 0) || (e.shape == Shape::batch && a.B == 0);
        if (e.role != Role::in && !a.pointers[i] && !empty) fail("external \"" + e.name + "\" must not be null");
    }
}

// How much of 0..n the i-th of m has.
struct Share {
    int64_t first, last;
};

Share share(int64_t n, int i, int m) { return {n * i / m, n * (i + 1) / m}; }

int64_t panels_of(int64_t width) { return (width + kPanel - 1) / kPanel; }

template <class T>
class Execution {
  public:
    Execution(const Program& program, const Arguments& arguments, const Kernels<T>& kernels)
        : program_(program),
          arguments_(arguments),
          kernels_(kernels),
          time_{arguments.T, arguments.B, arguments.reverse, arguments.lengths, arguments.resets},
          layout_(plan_layout(program, time_.T, time_.B, total_rows(), Places<T>::block_bytes_per_step(program, time_.B),
                              sizeof(T), arguments.threads)),
          places_(program, arguments, time_, layout_.block_steps, arena_) {
        auto ring_final = [](const State& s) { return s.kept < 0 && s.final >= 0; };
        ring_finals_ = std::any_of(program.states.begin(), program.states.end(), ring_final);
        deal_rows();
        prepare_weights();
        prepare_threads();
    }

    void run() {
        // Threads that the grid has no use for come all the same: a team that changes its size is slow to start.
        const int threads = layout_.grid.threads() > 1 ? arguments_.threads : 1;
        run_threads(threads, [](void* self, int thread) { static_cast<Execution*>(self)->work(thread); }, this);
    }

  private:
    struct Block {
        int64_t first, last;  // steps, as a range upwards
    };

    struct Thread {
        int number, band, column;
        Row* rows;         // kChunkRows or kReduceRows of them
        T** pointers;      // of tables
        T*** tables;       // into pointers
        T** tiles;         // kTileRows pointers for each operand
        T *panels, *strips;  // of reductions; the last panel is for what comes alone
    };

    int64_t total_rows() const {
        if (!arguments_.lengths) return arguments_.T * arguments_.B;
        return std::accumulate(arguments_.lengths, arguments_.lengths + arguments_.B, int64_t(0));
    }

    // ---- preparation

    // Longest rows first, dealt out forwards and backwards in turn, so that every band has about as much to do.
    void deal_rows() {
        const int64_t B = time_.B;
        const int bands = layout_.grid.bands;
        order_.resize(size_t(B));
        std::iota(order_.begin(), order_.end(), 0);
        std::vector<int32_t> dealt;
        dealt.reserve(size_t(B));
        if (!time_.lengths) {
            for (int g = 0; g < bands; ++g) {
                Share s = share(B, g, bands);
                bands_.push_back({order_.data() + s.first, s.last - s.first});
            }
            return;
        }
        std::stable_sort(order_.begin(), order_.end(),
                         [&](int32_t a, int32_t b) { return time_.lengths[a] > time_.lengths[b]; });
        for (int g = 0; g < bands; ++g)
            for (int64_t i = 0; i < B; ++i) {
                const int turn = int(i % (2 * bands));
                if ((turn < bands ? turn : 2 * bands - 1 - turn) == g) dealt.push_back(order_[size_t(i)]);
            }
        dealt_ = std::move(dealt);
        int64_t first = 0;
        for (int g = 0; g < bands; ++g) {
            int64_t count = 0;
            for (int64_t i = 0; i < B; ++i) {
                const int turn = int(i % (2 * bands));
                count += (turn < bands ? turn : 2 * bands - 1 - turn) == g;
            }
            bands_.push_back({dealt_.data() + first, count});
            first += count;
        }
    }

    void prepare_weights() {
        for (const MatrixUse& m : program_.matrices) {
            const size_t e = size_t(m.external);
            const int64_t row = arguments_.strides[2 * e], column = arguments_.strides[2 * e + 1];
            Weight<T> w{reinterpret_cast<const T*>(arguments_.pointers[e]), m.transposed ? column : row,
                        m.transposed ? row : column, m.n, m.k, nullptr};
            if (!layout_.direct && w.data) w.packed = arena_.take<T>(panels_of(m.n) * m.k * kPanel);
            weights_.push_back(w);
        }
    }

    void prepare_threads() {
        size_t tables = 4, operands = 1;
        for (const auto* phases : {&program_.before, &program_.loop, &program_.after})
            for (const Phase& p : *phases) {
                tables = std::max(tables, p.lookups.size());
                operands = std::max(operands, p.operands.size());
            }
        const int n = layout_.grid.threads();
        all_.reset(n);
        meetings_ = std::vector<Barrier>(size_t(layout_.grid.bands));
        for (Barrier& b : meetings_) b.reset(layout_.grid.columns);
        for (int i = 0; i < n; ++i) {
            Thread t{i, i / layout_.grid.columns, i % layout_.grid.columns, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
            t.rows = arena_.take<Row>(std::max(kChunkRows, kReduceRows));
            t.pointers = arena_.take<T*>(int64_t(tables) * std::max(kChunkRows, kReduceRows));
            t.tables = arena_.take<T**>(int64_t(tables));
            for (size_t k = 0; k < tables; ++k) t.tables[k] = t.pointers + int64_t(k) * std::max(kChunkRows, kReduceRows);
            t.tiles = arena_.take<T*>(int64_t(operands) * kTileRows);
            T* scratch = arena_.take<T>(int64_t(operands) * kTileRows * kPanel);
            for (int64_t k = 0; k < int64_t(operands) * kTileRows; ++k) t.tiles[k] = scratch + k * kPanel;
            if (program_.widest_d) {
                t.panels = arena_.take<T>(kReduceRows * kPanel * (program_.reduction_panels + 1));
                t.strips = arena_.take<T>(kReduceRows * program_.widest_d);
            }
            threads_.push_back(t);
        }
    }

    // ---- what each thread does

    void work(int number) {
        if (number >= layout_.grid.threads()) return;
        Thread& me = threads_[size_t(number)];
        clear_sums(me);
        pack_weights(me);
        all_.wait();
        const bool downwards = time_.reverse != program_.backward;
        const int64_t T_ = time_.T, steps = layout_.block_steps;
        for (int64_t done = 0; done < T_; done += steps) {
            const int64_t n = std::min(steps, T_ - done);
            Block block = downwards ? Block{T_ - done - n, T_ - done} : Block{done, done + n};
            clear_past_ends(me, block);
            section(me, program_.before, block);
            for (int64_t i = 0; i < n; ++i) step(me, downwards ? block.last - 1 - i : block.first + i, block);
            meeting(me).wait();
            section(me, program_.after, block);
            if (program_.reduces()) {
                all_.wait();
                reduce(me, block);
                all_.wait();
            }
        }
        finish(me);
    }

    Barrier& meeting(const Thread& me) { return meetings_[size_t(me.band)]; }

    void clear_sums(const Thread& me) {
        const int n = layout_.grid.threads();
        for (size_t e = 0; e < program_.externals.size(); ++e) {
            const External& x = program_.externals[e];
            if (x.role != Role::sum || !arguments_.pointers[e]) continue;
            T* base = reinterpret_cast<T*>(arguments_.pointers[e]);
            const int64_t s0 = arguments_.strides[2 * e], s1 = arguments_.strides[2 * e + 1];
            const bool matrix = x.shape == Shape::matrix;
            const int64_t rows = matrix ? x.rows : x.shape == Shape::batch ? time_.B : 1;
            const int64_t columns = matrix ? x.columns : x.width, row = matrix ? s0 : s1, column = matrix ? s1 : 1;
            const Share mine = share(rows, me.number, n);
            for (int64_t i = mine.first; i < mine.last; ++i) {
                T* out = base + i * row;
                if (column == 1)
                    std::fill_n(out, columns, T(0));
                else
                    for (int64_t j = 0; j < columns; ++j) out[j * column] = T(0);
            }
        }
    }

    void pack_weights(const Thread& me) {
        int64_t panel = 0;
        for (const Weight<T>& w : weights_)
            for (int64_t p = 0; w.packed && p < panels_of(w.n); ++p)
                if (panel++ % layout_.grid.threads() == me.number) kernels_.pack(w, p);
    }

    void clear_past_ends(const Thread& me, Block block) {
        if (!time_.lengths) return;
        const Band& band = bands_[size_t(me.band)];
        for (size_t e = 0; e < program_.externals.size(); ++e) {
            const External& x = program_.externals[e];
            if (x.role != Role::out || x.shape != Shape::step) continue;
            T* base = reinterpret_cast<T*>(arguments_.pointers[e]);
            for (int64_t t = block.first; t < block.last; ++t)
                for (int64_t i = band.running(time_, t) + me.column; i < band.count; i += layout_.grid.columns) {
                    T* row = base + t * arguments_.strides[2 * e] + band.rows[i] * arguments_.strides[2 * e + 1];
                    std::fill_n(row, x.width, T(0));
                }
        }
    }

    // ---- phases

    void run_phase(Thread& me, const Phase& phase, int64_t count, Block block, Share panels) {
        for (size_t i = 0; i < phase.lookups.size(); ++i)
            if (phase.lookups[i] >= 0) places_.look_up(phase.lookups[i], me.rows, count, block.first, me.tables[i]);
        if (phase.is_tile) {
            kernels_.tile({&phase.code, weights_.data(), layout_.direct, me.tables, count, panels.first, panels.last, me.tiles});
        } else {
            kernels_.row({phase.op, count, me.tables[0], phase.dst_width, me.tables + 1, phase.source_widths.data(),
                          int32_t(phase.source_widths.size()), phase.n, T(phase.eps)});
        }
    }

    Share all_panels(const Phase& phase) const { return {0, phase.is_tile ? panels_of(phase.code.width) : 1}; }

    // Runs f(count) on chunks of the rows first..last of those that run in the block, whose names are in me.rows.
    template <class F>
    void each_chunk(Thread& me, Block block, Share wanted, int64_t chunk, F f) {
        const Band& band = bands_[size_t(me.band)];
        each_chunk_of(me, band, block, wanted, chunk, f);
    }

    template <class F>
    void each_chunk_of(Thread& me, const Band& band, Block block, Share wanted, int64_t chunk, F f) {
        int64_t seen = 0, count = 0;
        for (int64_t t = block.first; t < block.last && seen < wanted.last; ++t) {
            const int64_t running = band.running(time_, t);
            int64_t i = std::max<int64_t>(0, wanted.first - seen);
            const int64_t end = std::min(running, wanted.last - seen);
            for (; i < end; ++i) {
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

    int64_t rows_in(const Band& band, Block block) const {
        int64_t n = 0;
        for (int64_t t = block.first; t < block.last; ++t) n += band.running(time_, t);
        return n;
    }

    // Phases over all steps of a block. Threads of a band share the rows if there are enough, else the columns.
    void section(Thread& me, const std::vector<Phase>& phases, Block block) {
        const int columns = layout_.grid.columns;
        if (phases.empty()) return;
        const int64_t rows = columns > 1 ? rows_in(bands_[size_t(me.band)], block) : 0;
        if (columns == 1 || rows >= 2 * kTileRows * columns) {
            const Share mine = columns == 1 ? Share{0, int64_t(1) << 62} : share(rows, me.column, columns);
            each_chunk(me, block, mine, kChunkRows, [&](int64_t count) {
                for (const Phase& phase : phases) run_phase(me, phase, count, block, all_panels(phase));
            });
            if (columns > 1) meeting(me).wait();
            return;
        }
        for (const Phase& phase : phases) shared_phase(me, phase, block, rows);
    }

    // One phase of rows that all threads of the band know, each computing its columns, or its rows of a row operation.
    void shared_phase(Thread& me, const Phase& phase, Block block, int64_t rows) {
        const int columns = layout_.grid.columns;
        const Share panels = phase.is_tile ? share(panels_of(phase.code.width), me.column, columns) : Share{0, 1};
        const Share mine = phase.is_tile ? Share{0, rows} : share(rows, me.column, columns);
        if (panels.first < panels.last && mine.first < mine.last)
            each_chunk(me, block, mine, kChunkRows, [&](int64_t count) { run_phase(me, phase, count, block, panels); });
        meeting(me).wait();
    }

    void step(Thread& me, int64_t t, Block block) {
        const Band& band = bands_[size_t(me.band)];
        const int64_t rows = band.running(time_, t);
        if (!rows) return;
        const Block only{t, t + 1};
        if (layout_.grid.columns == 1) {
            for (int64_t first = 0; first < rows; first += kChunkRows) {
                const int64_t count = std::min(kChunkRows, rows - first);
                for (int64_t i = 0; i < count; ++i) me.rows[i] = {int32_t(t), band.rows[first + i]};
                for (const Phase& phase : program_.loop) run_phase(me, phase, count, block, all_panels(phase));
            }
        } else {
            for (const Phase& phase : program_.loop) shared_loop_phase(me, phase, only, block, rows);
        }
        program_.backward ? deliver(me, band, t, rows) : keep_final(me, band, t, rows);
    }

    void shared_loop_phase(Thread& me, const Phase& phase, Block only, Block block, int64_t rows) {
        const int columns = layout_.grid.columns;
        const Share panels = phase.is_tile ? share(panels_of(phase.code.width), me.column, columns) : Share{0, 1};
        const Share mine = phase.is_tile ? Share{0, rows} : share(rows, me.column, columns);
        if (phase.meet) meeting(me).wait();
        if (panels.first < panels.last && mine.first < mine.last)
            each_chunk(me, only, mine, kChunkRows, [&](int64_t count) { run_phase(me, phase, count, block, panels); });
    }

    // ---- states

    void copy_row(T* to, const T* from, int64_t width) const { std::copy_n(from, width, to); }

    // States in a ring are gone two steps later: those of rows that end here are taken out at once.
    // Whether any of the rows that run at step t satisfies a condition.
    template <class F>
    static bool any_row(const Band& band, int64_t rows, F condition) {
        return std::any_of(band.rows, band.rows + rows, condition);
    }

    void keep_final(const Thread& me, const Band& band, int64_t t, int64_t rows) {
        auto ends = [&](int64_t b) { return t == time_.last(b); };
        if (!ring_finals_ || !any_row(band, rows, ends)) return;
        meeting(me).wait();
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const State& s = program_.states[k];
            if (s.kept >= 0 || s.final < 0) continue;
            for (int64_t i = me.column; i < rows; i += layout_.grid.columns) {
                const int64_t b = band.rows[i];
                if (ends(b)) copy_row(places_.batch_row(s.final, b), places_.state_row(int(k), t, b), s.width);
            }
        }
        meeting(me).wait();
    }

    // The gradient that leaves the first step of a row, or a reset one, belongs to what the row started from there.
    void deliver(const Thread& me, const Band& band, int64_t t, int64_t rows) {
        if (!any_row(band, rows, [&](int64_t b) { return t == time_.first(b) || time_.reset(t, b); })) return;
        meeting(me).wait();
        for (size_t k = 0; k < program_.states.size(); ++k) {
            const State& s = program_.states[k];
            if (!s.carried) continue;
            for (int64_t i = me.column; i < rows; i += layout_.grid.columns) {
                const int64_t b = band.rows[i];
                const T* from = places_.carry_row(int(k), t, b);
                if (time_.reset(t, b)) {
                    T* to = s.d_initial < 0 ? nullptr : places_.batch_row(s.d_initial, b);
                    for (int64_t j = 0; to && j < s.width; ++j) to[j] += from[j];
                } else if (t == time_.first(b) && s.d_hx >= 0) {
                    copy_row(places_.batch_row(s.d_hx, b), from, s.width);
                }
            }
        }
        meeting(me).wait();
    }

    void finish(const Thread& me) {
        const Band& band = bands_[size_t(me.band)];
        for (size_t k = 0; k < program_.states.size(); ++k)
            for (int64_t i = me.column; i < band.count; i += layout_.grid.columns) {
                const int64_t b = band.rows[i];
                program_.backward ? finish_gradient(int(k), b) : finish_state(int(k), b);
            }
    }

    void finish_state(int k, int64_t b) {
        const State& s = program_.states[size_t(k)];
        if (s.final < 0) return;
        T* to = places_.batch_row(s.final, b);
        if (time_.length(b) == 0)
            copy_row(to, places_.batch_row(s.hx, b), s.width);
        else if (s.kept >= 0)
            copy_row(to, places_.state_row(k, time_.last(b), b), s.width);
    }

    void finish_gradient(int k, int64_t b) {
        const State& s = program_.states[size_t(k)];
        if (s.d_hx < 0) return;
        T* to = places_.batch_row(s.d_hx, b);
        if (time_.length(b) == 0)
            copy_row(to, places_.batch_row(s.d_final, b), s.width);
        else if (!s.carried || time_.reset(time_.first(b), b))
            std::fill_n(to, s.width, T(0));
    }

    // ---- reductions: every thread has its own part of each gradient, and sums over all rows of the block

    void reduce(Thread& me, Block block) {
        const Band everyone{order_.data(), time_.B};
        each_chunk_of(me, everyone, block, {0, int64_t(1) << 62}, kReduceRows, [&](int64_t count) {
            reduce_matrices(me, block, count);
            for (const VectorReduction& v : program_.vector_reductions) reduce_vector(me, v, block, count);
        });
        for (const BatchReduction& r : program_.batch_reductions) reduce_batch(me, r, block);
    }

    int64_t width_of(int value) const { return program_.values[size_t(value)].width; }

    void look_up(Thread& me, int table, int value, int64_t count, Block block) {
        places_.look_up(value, me.rows, count, block.first, me.tables[table]);
    }

    struct Side {
        T** rows;
        int64_t width, stride;
    };

    static constexpr int64_t panel_size = kReduceRows * kPanel;

    // The rows that the gradients meet are gathered once, those of each d once, and then multiplied.
    void reduce_matrices(Thread& me, Block block, int64_t count) {
        for (const ReductionSource& s : program_.reduction_sources) {
            const int64_t width = width_of(s.value);
            look_up(me, 0, s.value, count, block);
            for (int64_t i = 0; i < panels_of(width); ++i)
                kernels_.gather_panel(me.tables[0], count, i * kPanel, std::min(kPanel, width - i * kPanel),
                                      me.panels + (s.first_panel + i) * panel_size);
        }
        for (const MatrixReductions& m : program_.matrix_reductions) {
            const int64_t n = width_of(m.d);
            look_up(me, 1, m.d, count, block);
            for (const MatrixReduction& g : m.gradients)
                if (g.narrow) reduce_narrow(me, g, n, block, count);
            Strips strips{};
            for (const MatrixReduction& g : m.gradients) {
                if (g.narrow) continue;
                const size_t e = size_t(g.external);
                const Side d{me.tables[1], n, arguments_.strides[2 * e]};
                const Side source{nullptr, width_of(g.source), arguments_.strides[2 * e + 1]};
                multiply(me, count, d, source, panels_of_source(me, g.source), strips, address(g.external));
            }
        }
    }

    T* address(int external) const { return reinterpret_cast<T*>(arguments_.pointers[size_t(external)]); }

    const T* panels_of_source(const Thread& me, int source) const {
        for (const ReductionSource& s : program_.reduction_sources)
            if (s.value == source) return me.panels + s.first_panel * panel_size;
        return nullptr;
    }

    // A narrow source goes into the strips, so that the panels, of d then, are wide.
    void reduce_narrow(Thread& me, const MatrixReduction& g, int64_t n, Block block, int64_t count) {
        const size_t e = size_t(g.external);
        const int64_t k = width_of(g.source);
        look_up(me, 0, g.source, count, block);
        Strips strips{};
        multiply(me, count, {me.tables[0], k, arguments_.strides[2 * e + 1]}, {me.tables[1], n, arguments_.strides[2 * e]},
                 nullptr, strips, address(g.external));
    }

    struct Strips {
        int64_t first, last;  // columns that are in me.strips
    };

    // gradient(i, j) += sum over rows of strips[i] * panels[j]. Threads share the strips or the panels, of which there
    // are more. Panels that were not gathered before are gathered here.
    void multiply(Thread& me, int64_t count, Side strips, Side panels, const T* gathered, Strips& known, T* gradient) {
        const int n = layout_.grid.threads();
        const int64_t strip_count = (strips.width + kTileRows - 1) / kTileRows, panel_count = panels_of(panels.width);
        const bool by_strips = strip_count >= panel_count;
        const Share s = by_strips ? share(strip_count, me.number, n) : Share{0, strip_count};
        const Share p = by_strips ? Share{0, panel_count} : share(panel_count, me.number, n);
        if (s.first == s.last || p.first == p.last) return;
        const int64_t first = s.first * kTileRows, last = std::min(strips.width, s.last * kTileRows);
        if (known.first != first || known.last != last) {
            kernels_.gather_strips(strips.rows, count, first, last - first, me.strips);
            known = {first, last};
        }
        T* alone = me.panels + program_.reduction_panels * panel_size;
        for (int64_t i = p.first; i < p.last; ++i) {
            const int64_t column = i * kPanel, columns = std::min(kPanel, panels.width - column);
            if (!gathered) kernels_.gather_panel(panels.rows, count, column, columns, alone);
            kernels_.matrix_gradient({count, me.strips, last - first, gathered ? gathered + i * panel_size : alone, columns,
                                      gradient + first * strips.stride + column * panels.stride, strips.stride,
                                      panels.stride});
        }
    }

    void reduce_vector(Thread& me, const VectorReduction& v, Block block, int64_t count) {
        const int64_t a = width_of(v.a), b = v.b < 0 ? a : width_of(v.b), width = std::max(a, b);
        const Share panels = share(panels_of(width), me.number, layout_.grid.threads());
        if (panels.first == panels.last) return;
        look_up(me, 0, v.a, count, block);
        if (v.b >= 0) look_up(me, 1, v.b, count, block);
        kernels_.vector_gradient({count, me.tables[0], v.b < 0 ? nullptr : me.tables[1], a < width, b < width,
                                  panels.first * kPanel, std::min(width, panels.last * kPanel),
                                  reinterpret_cast<T*>(arguments_.pointers[size_t(v.external)])});
    }

    void reduce_batch(Thread& me, const BatchReduction& r, Block block) {
        const Share mine = share(time_.B, me.number, layout_.grid.threads());
        for (int64_t t = block.first; t < block.last; ++t)
            for (int64_t b = mine.first; b < mine.last; ++b) {
                if (t >= time_.length(b)) continue;
                me.rows[0] = {int32_t(t), int32_t(b)};
                look_up(me, 0, r.a, 1, block);
                kernels_.vector_gradient(
                    {1, me.tables[0], nullptr, false, false, 0, width_of(r.a), places_.batch_row(r.external, b)});
            }
    }

    const Program& program_;
    const Arguments& arguments_;
    const Kernels<T>& kernels_;
    const Timeline time_;
    const Layout layout_;
    Arena arena_;
    const Places<T> places_;
    std::vector<int32_t> order_, dealt_;
    std::vector<Band> bands_;
    std::vector<Weight<T>> weights_;
    std::vector<Thread> threads_;
    std::vector<Barrier> meetings_;
    Barrier all_;
    bool ring_finals_ = false;
};

}  // namespace

template <class T>
void run_program(const Program& program, const Arguments& arguments, const Kernels<T>& kernels) {
    check_arguments(program, arguments);
    Execution<T>(program, arguments, kernels).run();
}

template void run_program(const Program&, const Arguments&, const Kernels<float>&);
template void run_program(const Program&, const Arguments&, const Kernels<double>&);

}  // namespace carousel
