#include "online/kernels.inc"

extern const online::OnlineKernels<float> online_baseline_float;
extern const online::OnlineKernels<double> online_baseline_double;
const online::OnlineKernels<float> online_baseline_float = kOnline<float>;
const online::OnlineKernels<double> online_baseline_double = kOnline<double>;
}  // namespace carousel
