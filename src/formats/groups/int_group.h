// Integers of 2..8 bits with a scale (and zero point) per tensor, row or group: AWQ, GPTQ, W4A16
// and W8A8 are parameters of this one format. docs/formats/int-group.md.
//   symmetric:  value = code * scale, code in -2^(b-1) .. 2^(b-1) - 1
//   asymmetric: value = (code - zero) * scale, code and zero in 0 .. 2^b - 1
#pragma once
#include "formats/group_format.h"

namespace quantlane {

// Conventions of compressed-tensors 0.19: scale = amax / ((2^b - 1) / 2), or (max - min) / (2^b -
// 1) with min <= 0 <= max. fit_weighted: see int_group.cpp.
extern const GroupFormat kIntGroup;

}  // namespace quantlane
