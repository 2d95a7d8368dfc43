// Errors of candidate scales of FP4 E2M1 groups. Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/fp4_and_nl_codes.h"
#include "formats/lanes.h"

namespace quantlane {
namespace {

// sum w (x - scale e2m1(x / scale))^2 of each candidate scale.
inline void e2m1_errors(const float* x, const float* w, int count, const Lanes& scale,
                        Lanes& error) {
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector half_step = load_lanes(scale.v + h) * 0.5F;  // the codes are counted in halves
    const LaneVector factor = 1.0F / half_step;
    LaneVector sum{};
    for (int i = 0; i < count; ++i) {
      const LaneVector difference = nearest_code(factor * x[i], Fp4Codes{}) * half_step - x[i];
      sum += difference * difference * w[i];
    }
    store_lanes(sum, error.v + h);
  }
}

}  // namespace
}  // namespace quantlane
