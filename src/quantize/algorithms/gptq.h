// Error feedback across columns (GPTQ, Frantar et al. 2022): what rounding one part of a row does
// to the outputs is made up for, as well as the inputs' second moments allow, by the columns after
// it. Columns keep their order; scales of groups and blocks are fitted to the values as they have
// become.
#pragma once
#include "quantize/algorithms/algorithm.h"

namespace quantlane {
extern const Algorithm kGptqRounding;
}
