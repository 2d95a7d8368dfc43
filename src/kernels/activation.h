// Rounding of the inputs of a quantized product: the fast form of formats' round_activations.
#pragma once
#include <cstdint>

#include "formats/scheme.h"

namespace quantlane::kernels {

// As quantlane::round_activations (formats/group_format.h), same bits: rows [tokens, cols] in
// place. 8-bit integers, E4M3 and what llama.cpp rounds to take a vector kernel, the rest the
// scalar code.
void round_activations(const ActivationScheme& scheme, float* values, std::int64_t tokens,
                       std::int64_t cols);

}  // namespace quantlane::kernels
