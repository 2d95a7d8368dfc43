// Error feedback for AVX-512.
#include "kernels/feedback/feedback_kernels.h"
#include "kernels/feedback/feedback_simd.inc"

namespace quantlane::kernels {

const FeedbackKernels kFeedbackAvx512 = {
    .losses = losses_of,
    .settle = settle_group,
    .spread = spread_errors,
};

}  // namespace quantlane::kernels
