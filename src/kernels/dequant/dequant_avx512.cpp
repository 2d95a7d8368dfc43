// The decoders for AVX-512.
#include "kernels/dequant/dequant_kernels.h"
#include "kernels/dequant/dequant_simd.inc"

namespace quantlane::kernels {

const DequantKernels kDequantAvx512 = {
    .q4_0 = q4_0,
    .q4_1 = q4_1,
    .q5_0 = q5_0,
    .q5_1 = q5_1,
    .q8_0 = q8_0,
    .q2_k = q2_k,
    .q3_k = q3_k,
    .q4_k = q4_k,
    .q5_k = q5_k,
    .q6_k = q6_k,
    .iq4_nl = iq4_nl,
    .iq4_xs = iq4_xs,
    .tq2_0 = tq2_0,
    .int_symmetric = int_symmetric,
    .int_asymmetric = int_asymmetric,
    .e4m3 = e4m3,
    .lookup = lookup,
    .round_f16 = round_f16,
    .round_bf16 = round_bf16,
};

}  // namespace quantlane::kernels
