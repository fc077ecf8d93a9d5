#include "kernels.inc"

extern const Kernels<float> kernels_neon_float;
extern const Kernels<double> kernels_neon_double;
extern const Kernels<float> kernels_neon_bfloat16;
const Kernels<float> kernels_neon_float = kKernels<Plain<float>>;
const Kernels<double> kernels_neon_double = kKernels<Plain<double>>;
const Kernels<float> kernels_neon_bfloat16 = kKernels<Bfloat16>;
}  // namespace carousel
