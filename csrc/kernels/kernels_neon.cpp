#include "kernels/kernels.inc"

extern const Kernels<float> kernels_neon_float;
extern const Kernels<double> kernels_neon_double;
extern const Kernels<float> kernels_neon_bfloat16;
extern const Kernels<float> kernels_neon_split;
extern const Kernels<float> kernels_neon_int8;
const Kernels<float> kernels_neon_float = kKernels<Plain<float>>;
const Kernels<double> kernels_neon_double = kKernels<Plain<double>>;
const Kernels<float> kernels_neon_bfloat16 = kKernels<Bfloat16>;
const Kernels<float> kernels_neon_split = kKernels<Split>;
const Kernels<float> kernels_neon_int8 = kKernels<Int8>;
}  // namespace carousel
