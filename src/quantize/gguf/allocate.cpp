#include "quantize/gguf/allocate.h"

#include <algorithm>
#include <cstddef>

namespace quantlane {
namespace {

// Steps along the lower convex hull of one matrix's options.
struct Step {
  std::size_t matrix;
  std::size_t option;    // reached by it
  std::uint64_t bytes;   // more than before
  double gain_per_byte;  // loss saved
};

double slope(const TypeOption& from, const TypeOption& to) {
  return (from.loss - to.loss) / static_cast<double>(to.bytes - from.bytes);
}

// Options of the hull from the smallest on; each larger one loses less, and less per byte.
std::vector<std::size_t> hull(const std::vector<TypeOption>& options) {
  std::vector<std::size_t> order(options.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return options[a].bytes != options[b].bytes ? options[a].bytes < options[b].bytes
                                                : options[a].loss < options[b].loss;
  });
  std::vector<std::size_t> kept;
  for (const std::size_t i : order) {
    if (!kept.empty() && (options[i].bytes == options[kept.back()].bytes ||
                          options[i].loss >= options[kept.back()].loss)) {
      continue;
    }
    while (kept.size() > 1 && slope(options[kept.back()], options[i]) >=
                                  slope(options[kept[kept.size() - 2]], options[kept.back()])) {
      kept.pop_back();
    }
    kept.push_back(i);
  }
  return kept;
}

}  // namespace

std::optional<std::vector<std::size_t>> allocate(std::span<const std::vector<TypeOption>> matrices,
                                                 std::uint64_t budget) {
  std::vector<std::size_t> chosen;
  std::vector<Step> steps;
  std::uint64_t used = 0;
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    const std::vector<std::size_t> kept = hull(matrices[m]);
    chosen.push_back(kept.front());
    used += matrices[m][kept.front()].bytes;
    for (std::size_t i = 1; i < kept.size(); ++i) {
      const TypeOption& from = matrices[m][kept[i - 1]];
      const TypeOption& to = matrices[m][kept[i]];
      steps.push_back({m, kept[i], to.bytes - from.bytes, slope(from, to)});
    }
  }
  if (used > budget) return std::nullopt;
  std::ranges::stable_sort(
      steps, [](const Step& a, const Step& b) { return a.gain_per_byte > b.gain_per_byte; });
  std::vector<bool> stopped(matrices.size());
  for (const Step& step : steps) {
    if (stopped[step.matrix]) continue;
    if (step.bytes > budget - used) {
      stopped[step.matrix] = true;
      continue;
    }
    used += step.bytes;
    chosen[step.matrix] = step.option;
  }
  return chosen;
}

}  // namespace quantlane
