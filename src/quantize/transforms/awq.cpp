#include "quantize/transforms/awq.h"

#include <array>
#include <cmath>

#include "quantize/transforms/scale_search.h"

namespace quantlane {
namespace {

// The paper's x^r, and with the weights' own sizes beside it ("duo scaling" of its successors).
constexpr std::array kFamilies = {
    ScaleFamily{.name = "inputs",
                .factor = [](const ScaleFacts& facts, std::size_t i,
                             double ratio) { return std::pow(facts.input_mean[i], ratio); }},
    ScaleFamily{.name = "inputs and weights",
                .factor =
                    [](const ScaleFacts& facts, std::size_t i, double ratio) {
                      return std::pow(facts.input_mean[i], ratio) /
                             (std::pow(facts.weight_mean[i], 1 - ratio) + 1e-4);
                    }},
};

Result<Transformed> find(const TransformRequest& request) {
  return search_scales(request, kFamilies);
}

}  // namespace

constinit const Transform kAwqScaling = {
    .name = "awq",
    .summary = "columns scaled before rounding, folded into the layer before (AWQ)",
    .wants_pass = true,
    .turns_inputs = false,
    .find = find};

}  // namespace quantlane
