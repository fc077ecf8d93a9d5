// AVX-512 with an instruction for products of bfloat16; all else is that of avx512.
#include "kernels.inc"

extern const Kernels<float> kernels_avx512bf16_bfloat16;
const Kernels<float> kernels_avx512bf16_bfloat16 = kKernels<Bfloat16>;
}  // namespace carousel
