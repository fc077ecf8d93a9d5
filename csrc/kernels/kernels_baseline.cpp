#include "kernels/kernels.inc"

extern const Kernels<float> kernels_baseline_float;
extern const Kernels<double> kernels_baseline_double;
extern const Kernels<float> kernels_baseline_bfloat16;
extern const Kernels<float> kernels_baseline_split;
extern const Kernels<float> kernels_baseline_int8;
const Kernels<float> kernels_baseline_float = kKernels<Plain<float>>;
const Kernels<double> kernels_baseline_double = kKernels<Plain<double>>;
const Kernels<float> kernels_baseline_bfloat16 = kKernels<Bfloat16>;
const Kernels<float> kernels_baseline_split = kKernels<Split>;
const Kernels<float> kernels_baseline_int8 = kKernels<Int8>;
}  // namespace carousel
