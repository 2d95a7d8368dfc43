// The table of transforms: one row each.
#include <array>

#include "quantize/transforms/awq.h"
#include "quantize/transforms/rotate.h"
#include "quantize/transforms/smoothquant.h"

namespace quantlane {
namespace {
constinit const std::array<const Transform*, 3> kTransforms = {&kAwqScaling, &kSmoothQuantScaling,
                                                               &kRotations};
}  // namespace

std::span<const Transform* const> transforms() { return kTransforms; }

const Transform* transform_by_name(std::string_view name) {
  for (const Transform* transform : kTransforms) {
    if (transform->name == name) return transform;
  }
  return nullptr;
}

Statistics scaled_statistics(const Statistics& statistics, const WeightEdits& edits) {
  constexpr std::string_view kSuffix = ".weight";
  Statistics scaled;
  for (const auto& [module, inputs] : statistics.modules()) {
    InputStatistics changed = inputs;
    const auto edit = edits.find(module + std::string(kSuffix));
    if (edit != edits.end() && edit->second.column_factors.size() == inputs.sum_squares.size()) {
      for (std::size_t c = 0; c < changed.sum_squares.size(); ++c) {
        const float factor = edit->second.column_factors[c];
        changed.sum_squares[c] /= static_cast<double>(factor) * static_cast<double>(factor);
        if (!changed.absmax.empty()) changed.absmax[c] /= factor;
      }
      changed.magnitudes.clear();
    }
    scaled.set(module, std::move(changed));
  }
  return scaled;
}

}  // namespace quantlane
