// Round to nearest: scales from the extremes of each group, no data.
#pragma once
#include "quantize/algorithms/algorithm.h"

namespace quantlane {
extern const Algorithm kRtn;
}
