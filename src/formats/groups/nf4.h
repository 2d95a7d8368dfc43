// NF4 of bitsandbytes (QLoRA): 16 values, the quantiles of a normal distribution brought to -1..1;
// value = kNf4Values[code] * scale, scale = amax of the group. docs/formats/nf4.md.
#pragma once
#include "formats/group_format.h"

namespace quantlane {

extern const GroupFormat kNf4;

}  // namespace quantlane
