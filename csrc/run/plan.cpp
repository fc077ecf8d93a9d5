#include "run/plan.hpp"

#include <algorithm>
#include <atomic>

namespace carousel {
namespace {

constexpr int64_t kBlockBytes = int64_t(1) << 20;  // of scratch that lives through a block: stays in the caches
constexpr int64_t kDirectRows = 4;                 // up to so many rows, packing costs more than it saves
std::atomic<double> thread_worth{2e5};

int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Multiply-adds of one row in some phases; an instruction counts as a few.
double row_work(const Program& program, const std::vector<Phase>& phases) {
    double work = 0;
    for (const Phase& phase : phases) {
        if (!phase.is_tile) work += 4.0 * double(phase.dst_width);
        for (const Segment& s : phase.segments) {
            const MatrixUse& m = program.matrices[size_t(s.weight)];
            work += double(m.n) * double(m.k);
        }
        work += 4.0 * double(phase.instructions.size()) * double(phase.code.width);
    }
    return work;
}

// Cycles of one step's loop for one thread of a grid, roughly: the tiles of the products bound by arithmetic, or by the
// cache from which the weights come; the instructions; the meetings. Measured on a Zen 5 core with AVX-512.
double step_cycles(const Program& program, int64_t rows, int columns, Elements elements) {
    constexpr double kPerTileRow = 2, kSecondLevel = 6.5, kThirdLevel = 10.5, kSecondLevelBytes = 7e5;
    constexpr double kPerInstruction = 12, kMeeting = 800;
    double weights = 0, cycles = 0;
    for (const Phase& phase : program.loop)
        for (const Segment& s : phase.segments) {
            const MatrixUse& m = program.matrices[size_t(s.weight)];
            weights += double(m.n * ceiling(m.k, elements.group) * elements.bytes) / columns;
        }
    const int64_t tiles = ceiling(rows, kTileRows);
    const double tile = kPerTileRow * double(rows) / double(tiles);
    const double first_tile = std::max(tile, weights > kSecondLevelBytes ? kThirdLevel : kSecondLevel);
    const double per_group = first_tile + double(tiles - 1) * std::max(tile, kSecondLevel);
    for (const Phase& phase : program.loop) {
        if (!phase.is_tile) continue;
        const double panels = double(ceiling(ceiling(phase.code.width, kPanel), columns));
        for (const Segment& s : phase.segments)
            cycles += panels * per_group * double(ceiling(program.matrices[size_t(s.weight)].k, elements.group));
        cycles += panels * double(rows) * double(phase.instructions.size()) * kPerInstruction;
        if (columns > 1 && phase.meet) cycles += kMeeting;
    }
    return cycles;
}

// Sharing columns has to be clearly better: threads that meet at every step suffer from whatever disturbs one of them.
Grid plan_grid(const Program& program, int64_t B, Elements elements, double work, int threads) {
    constexpr double kClearly = 0.9;
    threads = threads_worth(work, threads);
    if (threads <= 1 || B < 1) return {};
    Grid best{int(std::min<int64_t>(threads, B)), 1};
    double best_cycles = kClearly * step_cycles(program, ceiling(B, best.bands), 1, elements);
    for (int columns = 2; columns <= threads; ++columns) {
        const int bands = int(std::min<int64_t>(threads / columns, B));
        const double cycles = step_cycles(program, ceiling(B, bands), columns, elements);
        if (cycles >= best_cycles) continue;
        best_cycles = cycles;
        best = {bands, columns};
    }
    return best;
}

}  // namespace

double work_of(const Program& program, int64_t total_rows) {
    double work = row_work(program, program.before) + row_work(program, program.loop) + row_work(program, program.after);
    for (const MatrixReductions& m : program.matrix_reductions)
        for (const MatrixReduction& g : m.gradients)
            work += double(program.values[size_t(m.d)].width) * double(program.values[size_t(g.source)].width);
    return work * double(total_rows);
}

int threads_worth(double work, int threads) { return int(std::min<double>(threads, 1 + work / thread_worth.load())); }

void set_thread_worth(double multiply_adds) { thread_worth = multiply_adds; }

Layout plan_layout(const Program& program, int64_t T, int64_t B, int64_t total_rows, int64_t block_bytes_per_step,
                   Elements elements, int threads, bool packed) {
    Layout layout;
    layout.direct = !packed && total_rows <= kDirectRows;
    layout.grid = plan_grid(program, B, elements, work_of(program, total_rows), threads);
    int64_t steps = T;
    if (block_bytes_per_step > 0) steps = std::max<int64_t>(1, kBlockBytes / block_bytes_per_step);
    if (block_bytes_per_step > 0 && B > 0 && program.reduces()) steps = std::max(steps, ceiling(kReduceRows, B));
    layout.block_steps = std::max<int64_t>(1, std::min(steps, T));
    return layout;
}

}  // namespace carousel
