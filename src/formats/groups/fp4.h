// FP4 E2M1 (1 sign, 2 exponent, 1 mantissa bit: 0, 0.5, 1, 1.5, 2, 3, 4, 6) with a scale per group:
// value = e2m1(code) * scale. NVFP4 and MXFP4 as GPU engines store them, codes apart from scales;
// ggml's blocks of the same codes are nvfp4.h and mxfp4.h. docs/formats/fp4.md.
#pragma once
#include "formats/group_format.h"

namespace quantlane {

// Conventions of compressed-tensors 0.20: scale = amax / 6 (E8M0: shared_power_of_two), values
// clamped to the range of the codes before they are rounded half to even.
extern const GroupFormat kFp4E2M1;

}  // namespace quantlane
