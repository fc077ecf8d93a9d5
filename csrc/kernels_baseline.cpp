#include "kernels.inc"

extern const Kernels<float> kernels_baseline_float;
extern const Kernels<double> kernels_baseline_double;
const Kernels<float> kernels_baseline_float = kKernels<float>;
const Kernels<double> kernels_baseline_double = kKernels<double>;
}  // namespace carousel
