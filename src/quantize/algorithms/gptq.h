// Error feedback across columns (GPTQ, Frantar et al. 2022): what rounding one part of a row does
// to the outputs is made up for, as well as the inputs' second moments allow, by the columns after
// it. Groups are settled in the order of the feedback, their scales fitted to the values as they
// have become, by the loss that is left after feedback within the group. docs/algorithms/gptq.md
#pragma once
#include "quantize/algorithms/algorithm.h"

namespace quantlane {
extern const Algorithm kGptqRounding;
}
