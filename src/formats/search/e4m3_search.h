// Errors of candidate scales of FP8 E4M3 groups. Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/lanes.h"

namespace quantlane {
namespace {

constexpr float kLargestE4M3 = 448.0F;

// sum w (x - scale e4m3(x / scale))^2 of each candidate scale.
inline void e4m3_errors(const float* x, const float* w, int count, const Lanes& scale,
                        Lanes& error) {
  // Rounding to 4 significant bits: v + c v - c v with c = 2^20 leaves the upper bits of v
  // (Veltkamp 1968); below 2^-6 the codes are multiples of 2^-9, which adding 1.5 * 2^14 rounds to.
  constexpr float kSplit = 0x1p20F + 1.0F;
  constexpr float kSubnormalMagic = 0x1.8p14F;
  const LaneVector low = LaneVector{} - kLargestE4M3;
  const LaneVector high = LaneVector{} + kLargestE4M3;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector step = load_lanes(scale.v + h);
    const LaneVector factor = 1.0F / step;
    LaneVector sum{};
    for (int i = 0; i < count; ++i) {
      const LaneVector v = clamp_lanes(factor * x[i], low, high);
      const LaneVector split = v * kSplit;
      const LaneVector normal = split - (split - v);
      const LaneVector subnormal = (v + kSubnormalMagic) - kSubnormalMagic;
      const LaneVector magnitude = v < 0.0F ? -v : v;
      const LaneVector difference = (magnitude < 0x1p-6F ? subnormal : normal) * step - x[i];
      sum += difference * difference * w[i];
    }
    store_lanes(sum, error.v + h);
  }
}

}  // namespace
}  // namespace quantlane
