#include "plan.hpp"

#include <algorithm>
#include <atomic>

namespace carousel {
namespace {

constexpr int64_t kBlockBytes = int64_t(1) << 20;  // of scratch that lives through a block: stays in the caches
constexpr int64_t kDirectRows = 3;                 // up to so many rows, packing costs more than it saves
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

double total_row_work(const Program& program) {
    double work = row_work(program, program.before) + row_work(program, program.loop) + row_work(program, program.after);
    for (const MatrixReductions& m : program.matrix_reductions)
        for (const MatrixReduction& g : m.gradients)
            work += double(program.values[size_t(m.d)].width) * double(program.values[size_t(g.source)].width);
    return work;
}

int64_t widest_panels(const std::vector<Phase>& phases) {
    int64_t most = 1;
    for (const Phase& phase : phases)
        if (phase.is_tile) most = std::max(most, ceiling(phase.code.width, kPanel));
    return most;
}

Grid plan_grid(const Program& program, int64_t B, double work, int threads) {
    threads = int(std::min<double>(threads, 1 + work / thread_worth.load()));
    if (threads <= 1 || B < 1) return {};
    const int64_t panels = widest_panels(program.loop);
    Grid best;
    double best_cost = 1e300;
    for (int columns = 1; columns <= threads; ++columns) {
        const int bands = int(std::min<int64_t>(threads / columns, B));
        if (bands < 1 || (columns > 1 && columns > panels)) continue;
        const int64_t rows = ceiling(B, bands);
        // a tile of few rows costs nearly what a full one does: its weights have to be read all the same
        const double row_cost = double(ceiling(rows, kTileRows)) * 2 + double(rows);
        const double cost = row_cost * double(ceiling(panels, columns)) + (columns > 1 ? 1 : 0);
        if (cost < best_cost) {
            best_cost = cost;
            best = {bands, columns};
        }
    }
    return best;
}

}  // namespace

void set_thread_worth(double multiply_adds) { thread_worth = multiply_adds; }

Layout plan_layout(const Program& program, int64_t T, int64_t B, int64_t total_rows, int64_t block_bytes_per_step,
                   int64_t element_bytes, int threads) {
    (void)element_bytes;
    Layout layout;
    layout.direct = total_rows <= kDirectRows;
    layout.grid = plan_grid(program, B, total_row_work(program) * double(total_rows), threads);
    int64_t steps = T;
    if (block_bytes_per_step > 0) steps = std::max<int64_t>(1, kBlockBytes / block_bytes_per_step);
    if (block_bytes_per_step > 0 && B > 0 && program.reduces()) steps = std::max(steps, ceiling(kReduceRows, B));
    layout.block_steps = std::max<int64_t>(1, std::min(steps, T));
    return layout;
}

}  // namespace carousel
