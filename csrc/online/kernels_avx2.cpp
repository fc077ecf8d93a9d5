#include "online/kernels.inc"

extern const online::OnlineKernels<float> online_avx2_float;
extern const online::OnlineKernels<double> online_avx2_double;
const online::OnlineKernels<float> online_avx2_float = kOnline<float>;
const online::OnlineKernels<double> online_avx2_double = kOnline<double>;
}  // namespace carousel
