// Test support: random values.
#pragma once
#include <cmath>
#include <concepts>
#include <cstdint>
#include <vector>

#include "core/rng.h"

namespace quantlane {

inline std::vector<float> normal_values(std::integral auto count, double sigma,
                                        std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.normal() * sigma);
  return values;
}

inline std::vector<float> lognormal(std::size_t count, std::uint64_t seed) {
  std::vector<float> values = normal_values(count, 1, seed);
  for (float& value : values) value = std::exp(value);
  return values;
}

}  // namespace quantlane
