#include "kernels.inc"

extern const Kernels<float> kernels_avx2_float;
extern const Kernels<double> kernels_avx2_double;
const Kernels<float> kernels_avx2_float = kKernels<float>;
const Kernels<double> kernels_avx2_double = kKernels<double>;
}  // namespace carousel
