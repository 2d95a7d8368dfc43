// SmoothQuant (Xiao et al. 2022): outliers of activations are moved into the weights.
// docs/algorithms/smoothquant.md.
#pragma once
#include "quantize/transforms/transform.h"

namespace quantlane {
extern const Transform kSmoothQuantScaling;
}
