#include "kernels.inc"

extern const Kernels<float> kernels_neon_float;
extern const Kernels<double> kernels_neon_double;
const Kernels<float> kernels_neon_float = kKernels<float>;
const Kernels<double> kernels_neon_double = kKernels<double>;
}  // namespace carousel
