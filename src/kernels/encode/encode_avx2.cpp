// The row encoders for AVX2.
#include "kernels/encode/encode_kernels.h"
#include "kernels/encode/encode_simd.inc"

namespace quantlane::kernels {

const EncodeKernels kEncodeAvx2 = {
    .largest_bf16 = largest_bf16,
    .codes_int8 = encode_codes<int8_codes>,
    .codes_e4m3 = encode_codes<e4m3_codes>,
};

}  // namespace quantlane::kernels
