#include "quantize/lanes/lane_needs.h"

#include <algorithm>

#include "quantize/algorithms/algorithm.h"
#include "quantize/transforms/transform.h"

namespace quantlane {

bool wants_statistics(const Lane& lane) {
  const Algorithm* algorithm = algorithm_by_name(lane.algorithm);
  // Folders with error feedback learn from it all that they need of weights.
  if (wants_feedback(lane) && !lane.is_gguf()) return wants_input_scales(lane);
  return (algorithm != nullptr && algorithm->wants_statistics) || wants_input_scales(lane);
}

bool wants_input_scales(const Lane& lane) {
  const auto calibrated = [](const LinearScheme& scheme) {
    return scheme.input && scheme.input->calibrated();
  };
  return calibrated(lane.scheme) ||
         std::ranges::any_of(lane.overrides, [&](const SchemeOverride& override) {
           return override.scheme && calibrated(*override.scheme);
         });
}

bool wants_feedback(const Lane& lane) {
  const Algorithm* algorithm = algorithm_by_name(lane.algorithm);
  return algorithm != nullptr && algorithm->wants_feedback;
}

bool wants_pass(const Lane& lane) {
  return wants_feedback(lane) || std::ranges::any_of(lane.transforms, [](const std::string& name) {
           return transform_by_name(name)->wants_pass;
         });
}

bool turns_inputs(const Lane& lane) {
  return std::ranges::any_of(lane.transforms, [](const std::string& name) {
    return transform_by_name(name)->turns_inputs;
  });
}

}  // namespace quantlane
