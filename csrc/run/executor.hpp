// Runs programs over a batch of sequences.
#pragma once
#include <vector>

#include "kernels/kernels.hpp"
#include "run/places.hpp"
#include "program/program.hpp"

namespace carousel {

// Both directions of a layer are two runs: they wait for each other only in the end.
struct Run {
    const Program& program;
    Arguments arguments;
};

// Throws std::invalid_argument if the arguments do not fit the program.
void check_arguments(const Program& program, const Arguments& arguments);

// Throws like check_arguments.
template <class T>
void run_programs(std::vector<Run>& runs, int threads, const Kernels<T>& kernels);

}  // namespace carousel
