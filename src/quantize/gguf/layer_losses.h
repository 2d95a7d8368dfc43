// Sensitivities of a model of many layers from a few of them: what the output loses by a change of
// the residual stream varies slowly from layer to layer, and measuring it takes all layers behind.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace quantlane {

// All of up to 16 layers; else 16 of them, evenly spread, the first and the last included.
bool is_measured_layer(std::int64_t layer, std::int64_t layers);

// The missing figures between their neighbours, at equal ratios from layer to layer. The first and
// the last must be there; figures are not negative.
std::vector<double> fill_between(const std::vector<std::optional<double>>& measured);

}  // namespace quantlane
