// Rotation angles of RoPE by position, for layers of one frequency base.
#pragma once
#include <cstdint>
#include <vector>

#include "model/config.h"

namespace quantlane {

// cos and sin of position * frequency, computed in double, kept as float32 for all positions seen
// so far. Frequency i of head_dim/2: theta^(-2i/head_dim), divided as the scaling says.
class RopeTable {
 public:
  // Layers without a window: config.rope_theta and its scaling.
  static RopeTable full(const ModelConfig& config);
  // Layers with one: config.rope_theta_local, unscaled, where that is set; else as full().
  static RopeTable windowed(const ModelConfig& config);

  // Angles of a pass: cos and sin [positions.size(), head_dim / 2], valid until the next call.
  void select(const std::vector<std::int64_t>& positions);
  [[nodiscard]] const float* cos() const { return cos_.data(); }
  [[nodiscard]] const float* sin() const { return sin_.data(); }

 private:
  RopeTable(double theta, std::int64_t head_dim);
  void grow(std::int64_t positions);

  std::vector<double> frequencies_;           // [head_dim / 2]
  std::vector<float> cos_table_, sin_table_;  // [positions, head_dim / 2]
  std::vector<std::int64_t> selected_;
  std::vector<float> cos_, sin_;  // of the selected positions
};

}  // namespace quantlane
