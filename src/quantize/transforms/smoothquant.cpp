#include "quantize/transforms/smoothquant.h"

#include <array>
#include <cmath>

#include "quantize/transforms/scale_search.h"

namespace quantlane {
namespace {

constexpr std::array kFamilies = {
    ScaleFamily{.name = "migration",
                .factor =
                    [](const ScaleFacts& facts, std::size_t i, double strength) {
                      // A column without weights takes what the inputs ask for.
                      const double weight = facts.weight_max[i] > 0 ? facts.weight_max[i] : 1;
                      return std::pow(facts.input_max[i], strength) /
                             std::pow(weight, 1 - strength);
                    }},
};

Result<Transformed> find(const TransformRequest& request) {
  return search_scales(request, kFamilies);
}

}  // namespace

constinit const Transform kSmoothQuantScaling = {
    .name = "smoothquant",
    .summary = "outliers of inputs moved into the weights (SmoothQuant)",
    .wants_pass = true,
    .turns_inputs = false,
    .find = find};

}  // namespace quantlane
