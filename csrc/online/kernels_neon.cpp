#include "online/kernels.inc"

extern const online::OnlineKernels<float> online_neon_float;
extern const online::OnlineKernels<double> online_neon_double;
const online::OnlineKernels<float> online_neon_float = kOnline<float>;
const online::OnlineKernels<double> online_neon_double = kOnline<double>;
}  // namespace carousel
