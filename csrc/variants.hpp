// The kernels compiled for each instruction set, and which of them run.
#pragma once
#include <string>
#include <vector>

#include "kernels.hpp"

namespace carousel {

struct Variant {
    const char* name;
    const Kernels<float>* float_kernels;
    const Kernels<double>* double_kernels;
};

// Those that this processor can run, the best first.
const std::vector<Variant>& variants();

const Variant& variant();

// Throws std::invalid_argument for a variant that cannot run here.
void set_variant(const std::string& name);

}  // namespace carousel
