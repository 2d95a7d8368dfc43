// What the searches under error feedback are told of a run of columns. Plain data: the
// instruction-set objects include this header.
#pragma once
#include <stdint.h>

#include "formats/lanes.h"

namespace quantlane {

constexpr int kMostFeedbackColumns = 32;

struct FeedbackColumns {
  const float* x;      // [count] values as the errors before them left them
  const float* upper;  // [count, stride] ErrorFeedback::upper from the first column on
  int64_t stride;
  const float* inverse;  // [count] 1 / its diagonal
  int count;             // at most kMostFeedbackColumns
  CodeRange levels;      // of their codes
  bool non_linear;       // those of iq4_nl instead
};

}  // namespace quantlane
