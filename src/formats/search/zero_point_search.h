// Scale and zero point of one group whose values are scale * (code - zero), code and zero whole
// numbers in 0..high. Internal linkage for the reason given in lanes.h.
//
// A whole zero point makes 0 a code, so the best range is one of many narrow valleys: moving an end
// by half a step changes most codes. The best free minimum, rounded to a whole zero afterwards,
// says nothing about them. So what is tried are pairs of a scale and a whole zero from the start.
#pragma once
#include "formats/lanes.h"

namespace quantlane {
namespace {

// How far codes end before the smallest and the largest value, in steps.
constexpr int kCuts = 4 * kLanes;
struct Cuts {
  alignas(64) float lower[kCuts];
  alignas(64) float upper[kCuts];
};

// Both cuts together from -2.4 to 7.8 in steps of 0.6, split in every way a step apart that leaves
// no more than 5 to one end, and some far ones for groups in which few values matter. On groups of
// SmolLM2 with 2 to 5 bits (64 values, importance of their columns) 95 in 100 then end at the best
// of all pairs of storable scale and zero.
constexpr Cuts make_cuts() {
  Cuts cuts{};
  int count = 0;
  for (int step = -4; step <= 13; ++step) {
    const float both = 0.6F * static_cast<float>(step);
    const float first = both < 4.75F ? -0.25F : both - 5.0F;
    const float spare = both - 2.0F * first;
    const int ways = spare < 0.0F ? 1 : 1 + static_cast<int>(spare);
    for (int way = 0; way < ways; ++way, ++count) {
      const float off_middle = static_cast<float>(way) - 0.5F * static_cast<float>(ways - 1);
      cuts.lower[count] = 0.5F * both + off_middle;
      cuts.upper[count] = 0.5F * both - off_middle;
    }
  }
  constexpr float kFar[] = {0.0F, 7.0F, 11.0F};
  for (const float lower : kFar) {
    for (const float upper : kFar) {
      if (lower + upper == 0.0F) continue;
      cuts.lower[count] = lower;
      cuts.upper[count++] = upper;
    }
  }
  for (; count < kCuts; ++count) cuts.lower[count] = cuts.upper[count] = 15.0F;
  return cuts;
}
constexpr Cuts kRangeCuts = make_cuts();

// The codes less their zero, of as many candidates as there are lanes in a vector.
struct ShiftedCodes {
  LaneVector low;
  LaneVector high;
};
inline ShiftedCodes shifted_codes(const float* zero, float high_code) {
  const LaneVector low = -load_lanes(zero);
  return {.low = low, .high = low + high_code};
}

// q = nearest of the codes less `zero` to x * inverse; xq = sum w x q, qq = sum w q^2.
inline void zero_point_sums(const float* x, const float* w, int count, const Lanes& inverse,
                            const Lanes& zero, float high_code, Lanes& xq, Lanes& qq) {
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector factor = load_lanes(inverse.v + h);
    const ShiftedCodes codes = shifted_codes(zero.v + h, high_code);
    LaneVector sum_xq{};
    LaneVector sum_qq{};
    for (int i = 0; i < count; ++i) {
      const LaneVector q = round_lanes(factor * x[i], codes.low, codes.high);
      const LaneVector wq = q * w[i];
      sum_xq += wq * x[i];
      sum_qq += wq * q;
    }
    store_lanes(sum_xq, xq.v + h);
    store_lanes(sum_qq, qq.v + h);
  }
}

// error = sum w (x - scale q)^2 with the codes of `scale`.
inline void zero_point_errors(const float* x, const float* w, int count, const Lanes& scale,
                              const Lanes& zero, float high_code, Lanes& error) {
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector step = load_lanes(scale.v + h);
    const LaneVector factor = step == 0.0F ? LaneVector{} : 1.0F / step;
    const ShiftedCodes codes = shifted_codes(zero.v + h, high_code);
    LaneVector sum{};
    for (int i = 0; i < count; ++i) {
      const LaneVector difference = step * round_lanes(factor * x[i], codes.low, codes.high) - x[i];
      sum += difference * difference * w[i];
    }
    store_lanes(sum, error.v + h);
  }
}

// What a candidate of each lane explains of sum w x^2 with the least-squares scale of its codes.
struct ExplainedZeros {
  Lanes explained;
  Lanes scale;
  Lanes zero;
};

// Lanes whose codes explain more than `best` get their least-squares scale, others keep theirs.
inline void take_least_squares(const Lanes& xq, const Lanes& qq, const Lanes& zero,
                               ExplainedZeros& best) {
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector numerator = load_lanes(xq.v + h);
    const LaneVector denominator = load_lanes(qq.v + h);
    const LaneVector quotient =
        numerator / (denominator > 0.0F ? denominator : LaneVector{} + 1.0F);
    // Of a scale that is not positive nothing is explained: codes and values disagree.
    const LaneVector gain = quotient > 0.0F ? quotient * numerator : LaneVector{} - 1.0F;
    const auto better = gain > load_lanes(best.explained.v + h);
    store_lanes(better ? gain : load_lanes(best.explained.v + h), best.explained.v + h);
    store_lanes(better ? quotient : load_lanes(best.scale.v + h), best.scale.v + h);
    store_lanes(better ? load_lanes(zero.v + h) : load_lanes(best.zero.v + h), best.zero.v + h);
  }
}

// Minimises sum w (x - scale * (code - zero))^2: of each lane the best of four cuts, each with the
// least-squares scale of its codes, then codes and scales once more. `x` holds a value other than
// 0; `reach` stretches the cuts. The scale is not yet rounded to storage; 0 where nothing was
// found.
inline ZeroPointFit search_zero_point(const float* x, const float* w, int count, float high_code,
                                      float reach) {
  const BlockExtremes extremes = block_extremes(x, count);
  const float low = extremes.low < 0.0F ? extremes.low : 0.0F;
  const float high = 0.0F < extremes.high ? extremes.high : 0.0F;
  const float steps_per_range = 1.0F / (high - low);
  const LaneVector first = LaneVector{};
  const LaneVector last = first + high_code;
  ExplainedZeros best{};
  Lanes inverse;
  Lanes zero;
  Lanes xq;
  Lanes qq;
  for (int cut = 0; cut < kCuts; cut += kLanes) {
    for (int h = 0; h < kLanes; h += kVectorLanes) {
      const LaneVector lower = reach * load_lanes(kRangeCuts.lower + cut + h);
      const LaneVector upper = reach * load_lanes(kRangeCuts.upper + cut + h);
      const LaneVector factor = (high_code + (lower + upper)) * steps_per_range;
      store_lanes(factor, inverse.v + h);
      store_lanes(round_lanes(-low * factor - lower, first, last), zero.v + h);
    }
    zero_point_sums(x, w, count, inverse, zero, high_code, xq, qq);
    take_least_squares(xq, qq, zero, best);
  }
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector scale = load_lanes(best.scale.v + h);
    store_lanes(scale > 0.0F ? 1.0F / scale : LaneVector{}, inverse.v + h);
  }
  zero_point_sums(x, w, count, inverse, best.zero, high_code, xq, qq);
  take_least_squares(xq, qq, best.zero, best);
  const int lane = index_of_largest(best.explained);
  return {.scale = best.scale.v[lane], .zero = best.zero.v[lane]};
}

}  // namespace
}  // namespace quantlane
