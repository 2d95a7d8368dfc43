// The element-wise and row kernels for AVX-512.
#include "kernels/ops/ops_kernels.h"
#include "kernels/ops/ops_simd.inc"

namespace quantlane::kernels {

const OpsKernels kOpsAvx512 = {
    .rms_norm = rms_norm,
    .rope = rope,
    .silu_multiply = activate_multiply<silu>,
    .gelu_tanh_multiply = activate_multiply<gelu_tanh>,
    .add = add,
    .exp = exp_all,
    .log_sum_exp = log_sum_exp,
    .arg_max = arg_max,
    .kl_divergence = kl_divergence,
};

}  // namespace quantlane::kernels
