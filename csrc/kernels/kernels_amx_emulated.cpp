// What amx does, without its instructions: for tests.
#include "kernels/kernels.inc"

extern const Kernels<float> kernels_amx_emulated_bfloat16;
extern const Kernels<float> kernels_amx_emulated_split;
const Kernels<float> kernels_amx_emulated_bfloat16 = kKernels<Tiled<Bfloat16>>;
const Kernels<float> kernels_amx_emulated_split = kKernels<Tiled<Split>>;
}  // namespace carousel
