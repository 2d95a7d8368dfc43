// The steps of error feedback that exist once per instruction set. Plain data and C types only: the
// ISA objects include this header. What they do: kernels/feedback.h.
#pragma once
#include <stdint.h>

namespace quantlane::kernels {

struct FeedbackSteps {
  int kind;  // 0 integers, 1 E2M1, 2 E4M3
  float low;
  float high;
};

struct FeedbackKernels {
  void (*losses)(const float* upper, int64_t stride, int64_t count, const FeedbackSteps* steps,
                 const float* x, const float* scale, const float* zero, float* state, float* loss);
  void (*settle)(const float* upper, int64_t stride, int64_t count, const FeedbackSteps* steps,
                 float scale, float zero, float* x, float* settled, float* errors);
  void (*spread)(const float* errors, int64_t rows, int64_t count, const float* upper,
                 int64_t upper_stride, float* values, int64_t stride, int64_t width);
};

extern const FeedbackKernels kFeedbackRef;
extern const FeedbackKernels kFeedbackAvx2;
extern const FeedbackKernels kFeedbackAvx512;

}  // namespace quantlane::kernels
