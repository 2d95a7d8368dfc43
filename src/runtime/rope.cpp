#include "runtime/rope.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/graph.h"

namespace quantlane {

RopeTable::RopeTable(double theta, std::int64_t head_dim) {
  for (std::int64_t i = 0; i < head_dim / 2; ++i) {
    frequencies_.push_back(
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
  }
}

RopeTable RopeTable::full(const ModelConfig& config) {
  RopeTable table(config.rope_theta, config.head_dim);
  const std::vector<float> divisors = rope_frequency_divisors(config);
  for (std::size_t i = 0; i < table.frequencies_.size(); ++i) {
    if (!divisors.empty()) {
      table.frequencies_[i] /= static_cast<double>(divisors[i]);
    } else if (config.rope_scaling.kind == RopeScaling::Kind::kLinear) {
      table.frequencies_[i] /= config.rope_scaling.factor;
    }
  }
  return table;
}

RopeTable RopeTable::windowed(const ModelConfig& config) {
  if (config.rope_theta_local > 0) return {config.rope_theta_local, config.head_dim};
  return full(config);
}

void RopeTable::grow(std::int64_t positions) {
  const std::size_t half = frequencies_.size();
  auto known = static_cast<std::int64_t>(cos_table_.size() / half);
  if (positions <= known) return;
  positions = std::max(positions, 2 * known);
  cos_table_.resize(static_cast<std::size_t>(positions) * half);
  sin_table_.resize(static_cast<std::size_t>(positions) * half);
  for (; known < positions; ++known) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(known) * frequencies_[i];
      cos_table_[static_cast<std::size_t>(known) * half + i] = static_cast<float>(std::cos(angle));
      sin_table_[static_cast<std::size_t>(known) * half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void RopeTable::select(const std::vector<std::int64_t>& positions) {
  if (positions.empty() || positions == selected_) return;
  selected_ = positions;
  const std::size_t half = frequencies_.size();
  grow(*std::ranges::max_element(positions) + 1);
  cos_.resize(positions.size() * half);
  sin_.resize(positions.size() * half);
  for (std::size_t t = 0; t < positions.size(); ++t) {
    const std::size_t from = static_cast<std::size_t>(positions[t]) * half;
    std::memcpy(&cos_[t * half], &cos_table_[from], half * sizeof(float));
    std::memcpy(&sin_[t * half], &sin_table_[from], half * sizeof(float));
  }
}

}  // namespace quantlane
