// AVX-512 with products of bfloat16 in tiles; all else is that of avx512 and avx512bf16.
#define CAROUSEL_AMX_INSTRUCTIONS  // compilers do not agree on a name of their own
#include "kernels/kernels.inc"

extern const Kernels<float> kernels_amx_bfloat16;
extern const Kernels<float> kernels_amx_split;
const Kernels<float> kernels_amx_bfloat16 = kKernels<Tiled<Bfloat16>>;
const Kernels<float> kernels_amx_split = kKernels<Tiled<Split>>;
}  // namespace carousel
