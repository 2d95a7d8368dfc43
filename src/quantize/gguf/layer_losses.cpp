#include "quantize/gguf/layer_losses.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace quantlane {
namespace {

constexpr std::int64_t kMeasuredLayers = 16;

}  // namespace

bool is_measured_layer(std::int64_t layer, std::int64_t layers) {
  if (layers <= kMeasuredLayers || layer == 0) return true;
  const auto nth = [&](std::int64_t l) { return l * (kMeasuredLayers - 1) / (layers - 1); };
  return nth(layer) != nth(layer - 1);
}

std::vector<double> fill_between(const std::vector<std::optional<double>>& measured) {
  std::vector<double> filled;
  std::size_t before = 0;
  while (filled.size() < measured.size()) {
    const std::size_t here = filled.size();
    if (measured[here].has_value()) {
      filled.push_back(*measured[here]);
      before = here;
      continue;
    }
    std::size_t behind = here;
    while (behind < measured.size() && !measured[behind].has_value()) ++behind;
    QUANTLANE_CHECK(here > 0 && behind < measured.size());
    const auto log_of = [](double figure) {
      return std::log(std::max(figure, std::numeric_limits<double>::min()));
    };
    const double share = static_cast<double>(here - before) / static_cast<double>(behind - before);
    filled.push_back(
        std::exp((1 - share) * log_of(*measured[before]) + share * log_of(*measured[behind])));
  }
  return filled;
}

}  // namespace quantlane
