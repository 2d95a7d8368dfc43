#include "core/evenly_spaced.h"

#include <algorithm>

namespace quantlane {

std::vector<std::int64_t> evenly_spaced(std::int64_t total, std::int64_t most) {
  const std::int64_t count = std::min(total, most);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < count; ++i) indices.push_back(i * total / count);
  return indices;
}

}  // namespace quantlane
