// The pieces of attention for AVX2.
#include "kernels/attention/attention_kernels.h"
#include "kernels/attention/attention_simd.inc"

namespace quantlane::kernels {

const AttentionKernels kAttentionAvx2 = {
    .key_block = 96,  // 16 tiles of 6 keys
    .softmax = softmax,
    .accumulate = accumulate,
    .normalize = normalize,
};

}  // namespace quantlane::kernels
