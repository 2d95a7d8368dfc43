// Activation rounding for AVX-512.
#include "kernels/activation/activation_kernels.h"
#include "kernels/activation/activation_simd.inc"

namespace quantlane::kernels {

const ActivationKernels kActivationAvx512 = {
    .round_int8 = round_int8,
    .round_e4m3 = round_e4m3,
    .round_q8_0 = round_q8_0,
    .round_q8_k = round_q8_k,
    .round_f16 = round_f16,
    .round_bf16 = round_bf16,
};

}  // namespace quantlane::kernels
