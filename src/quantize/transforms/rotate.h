// Rotations merged into the weights (QuaRot: Ashkboos et al. 2024; SpinQuant: Liu et al. 2024):
// outliers are spread over all columns. docs/algorithms/rotations.md.
#pragma once
#include "quantize/transforms/transform.h"

namespace quantlane {
extern const Transform kRotations;
}
