// Rounding of the inputs of a quantized product: the fast form of formats' round_activations.
#pragma once
#include <cstdint>

#include "formats/scheme.h"

namespace quantlane::kernels {

// As quantlane::round_activations (formats/group_format.h), same bits: rows [tokens, cols] in
// place, split over the pool. 8-bit integers and E4M3 take a vector kernel, the rest the scalar
// code.
void round_activations(const ActivationScheme& scheme, float* values, std::int64_t tokens,
                       std::int64_t cols);

}  // namespace quantlane::kernels
