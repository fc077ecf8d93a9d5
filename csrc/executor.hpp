// Runs a program over a batch of sequences.
#pragma once
#include "kernels.hpp"
#include "places.hpp"
#include "program.hpp"

namespace carousel {

// Throws std::invalid_argument if the arguments do not fit the program.
template <class T>
void run_program(const Program& program, const Arguments& arguments, const Kernels<T>& kernels);

}  // namespace carousel
