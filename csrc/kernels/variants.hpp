// The kernels compiled for each instruction set, and which of them run.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.hpp"
#include "online/code.hpp"

namespace carousel {

// What the factors of float32 products are rounded to.
enum class Precision { float32, bfloat16, split, int8 };

struct Variant {
    const char* name;
    const Kernels<double>* double_kernels;
    const Kernels<float>* float_kernels[4];  // by precision
    const online::OnlineKernels<double>* online_double;
    const online::OnlineKernels<float>* online_float;
};

// Those that this processor can run, the best first.
const std::vector<Variant>& variants();

const Variant& variant();

// Throws std::invalid_argument for a variant that cannot run here.
void set_variant(const std::string& name);

}  // namespace carousel
