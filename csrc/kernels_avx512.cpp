#include "kernels.inc"

extern const Kernels<float> kernels_avx512_float;
extern const Kernels<double> kernels_avx512_double;
const Kernels<float> kernels_avx512_float = kKernels<float>;
const Kernels<double> kernels_avx512_double = kKernels<double>;
}  // namespace carousel
