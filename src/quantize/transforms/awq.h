// Activation-aware weight quantization (Lin et al. 2023): columns that matter are made larger
// before rounding. docs/algorithms/awq.md.
#pragma once
#include "quantize/transforms/transform.h"

namespace quantlane {
extern const Transform kAwqScaling;
}
