#include "online/kernels.inc"

extern const online::OnlineKernels<float> online_avx512_float;
extern const online::OnlineKernels<double> online_avx512_double;
const online::OnlineKernels<float> online_avx512_float = kOnline<float>;
const online::OnlineKernels<double> online_avx512_double = kOnline<double>;
}  // namespace carousel
