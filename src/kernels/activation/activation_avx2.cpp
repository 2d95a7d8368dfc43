// Activation rounding for AVX2.
#include "kernels/activation/activation_kernels.h"
#include "kernels/activation/activation_simd.inc"

namespace quantlane::kernels {

const ActivationKernels kActivationAvx2 = {
    .round_int8 = round_int8,
    .round_e4m3 = round_e4m3,
};

}  // namespace quantlane::kernels
