// Activation rounding for AVX-512.
#include "kernels/activation/activation_kernels.h"
#include "kernels/activation/activation_simd.inc"

namespace quantlane::kernels {

const ActivationKernels kActivationAvx512 = {
    .round_int8 = round_int8,
    .round_e4m3 = round_e4m3,
};

}  // namespace quantlane::kernels
