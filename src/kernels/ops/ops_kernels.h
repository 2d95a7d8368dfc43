// The element-wise and row kernels that exist once per instruction set. Plain data and C types
// only: the ISA objects include this header. Formulas and shapes: kernels/ops.h.
#pragma once
#include <stdint.h>

namespace quantlane::kernels {

struct OpsKernels {
  // One token.
  void (*rms_norm)(const float* x, int64_t width, const float* weight, double eps, float* y);
  void (*rope)(float* x, int64_t heads, int64_t head_dim, const float* cos, const float* sin);
  void (*silu_multiply)(float* gate, const float* up, int64_t count);
  void (*gelu_tanh_multiply)(float* gate, const float* up, int64_t count);
  void (*add)(float* y, const float* x, int64_t count);
  // y[i] = exp(x[i]); x and y may be the same.
  void (*exp)(const float* x, int64_t count, float* y);
  double (*log_sum_exp)(const float* logits, int64_t vocab);
  int64_t (*arg_max)(const float* logits, int64_t vocab);
  // Not clamped at 0.
  double (*kl_divergence)(const float* p_logits, double p_lse, const float* q_logits, double q_lse,
                          int64_t vocab);
};

// Plain loops; sums and exponentials in double.
extern const OpsKernels kOpsRef;
extern const OpsKernels kOpsAvx2;
extern const OpsKernels kOpsAvx512;

}  // namespace quantlane::kernels
