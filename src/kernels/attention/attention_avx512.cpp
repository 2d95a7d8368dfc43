// The pieces of attention for AVX-512.
#include "kernels/attention/attention_kernels.h"
#include "kernels/attention/attention_simd.inc"

namespace quantlane::kernels {

const AttentionKernels kAttentionAvx512 = {
    .key_block = 112,  // 8 tiles of 14 keys
    .softmax = softmax,
    .accumulate = accumulate,
    .normalize = normalize,
};

}  // namespace quantlane::kernels
