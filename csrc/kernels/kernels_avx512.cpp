#include "kernels/kernels.inc"

extern const Kernels<float> kernels_avx512_float;
extern const Kernels<double> kernels_avx512_double;
extern const Kernels<float> kernels_avx512_bfloat16;
extern const Kernels<float> kernels_avx512_split;
extern const Kernels<float> kernels_avx512_int8;
const Kernels<float> kernels_avx512_float = kKernels<Plain<float>>;
const Kernels<double> kernels_avx512_double = kKernels<Plain<double>>;
const Kernels<float> kernels_avx512_bfloat16 = kKernels<Bfloat16>;
const Kernels<float> kernels_avx512_split = kKernels<Split>;
const Kernels<float> kernels_avx512_int8 = kKernels<Int8>;
}  // namespace carousel
