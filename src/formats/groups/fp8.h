// FP8 E4M3 (1 sign, 4 exponent, 3 mantissa bits, bias 7, largest 448, no infinity) with a scale per
// tensor, row, group or block: value = e4m3(code) * scale. docs/formats/fp8.md.
#pragma once
#include "formats/group_format.h"

namespace quantlane {

// Conventions of compressed-tensors 0.20: scale = amax / 448 (E8M0: shared_power_of_two), values
// clamped to the range of the codes before they are rounded half to even.
extern const GroupFormat kFp8E4M3;

}  // namespace quantlane
