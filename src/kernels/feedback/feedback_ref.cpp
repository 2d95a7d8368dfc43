// Error feedback for the baseline instruction set.
#include "kernels/feedback/feedback_kernels.h"
#include "kernels/feedback/feedback_simd.inc"

namespace quantlane::kernels {

const FeedbackKernels kFeedbackRef = {
    .losses = losses_of,
    .settle = settle_group,
    .spread = spread_errors,
};

}  // namespace quantlane::kernels
