// How one call is laid out: how many steps a block has, and how threads share the work.
#pragma once
#include "program/program.hpp"

namespace carousel {

// Threads stand in a grid. Threads of different bands own different rows of the batch and never wait for each other in
// the loop; threads of one band share its rows, each computing some columns, and meet after each phase.
struct Grid {
    int bands = 1, columns = 1;

    int threads() const { return bands * columns; }
};

struct Layout {
    Grid grid;
    int64_t block_steps = 1;
    bool direct = false;  // weights are used where they lie, not packed
};

// Packed groups of weights: their size, and how many inner elements each holds.
struct Elements {
    int64_t bytes, group;
};

Layout plan_layout(const Program& program, int64_t T, int64_t B, int64_t total_rows, int64_t block_bytes_per_step,
                   Elements elements, int threads, bool packed);

// Multiply-adds of a call, roughly, and how many of the threads they pay for.
double work_of(const Program& program, int64_t total_rows);
int threads_worth(double work, int threads);

// Multiply-adds that pay for one more thread. Tests lower it, so that the smallest call is shared.
void set_thread_worth(double multiply_adds);

}  // namespace carousel
