// AVX-512 with instructions for products of bfloat16 and of bytes; all else is that of avx512.
#include "kernels/kernels.inc"

extern const Kernels<float> kernels_avx512bf16_bfloat16;
extern const Kernels<float> kernels_avx512bf16_split;
extern const Kernels<float> kernels_avx512bf16_int8;
const Kernels<float> kernels_avx512bf16_bfloat16 = kKernels<Bfloat16>;
const Kernels<float> kernels_avx512bf16_split = kKernels<Split>;
const Kernels<float> kernels_avx512bf16_int8 = kKernels<Int8>;
}  // namespace carousel
