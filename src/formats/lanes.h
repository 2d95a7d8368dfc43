// Sixteen candidate scales tried at once: lane l of every array belongs to candidate l, and each
// lane adds its terms in the order of the values. So the result is the same whatever the vector
// width, and this file may be compiled again for a wider instruction set without changing a byte.
// Internal linkage on purpose: an object built for AVX must not share functions with others.
#pragma once
#include <cstddef>
#include <utility>

namespace quantlane {

constexpr int kLanes = 16;

struct alignas(64) Lanes {
  float v[kLanes];
};

// Code range of a format: codes are the integers low..high.
struct CodeRange {
  float low;
  float high;
};

struct AffineSums {
  Lanes error;  // sum w (scale q - minimum - x)^2; affine_errors only
  Lanes q;      // sum w q
  Lanes qq;     // sum w q^2
  Lanes xq;     // sum w x q
};

// values = scale * code - minimum
struct AffineFit {
  float scale = 0;
  float minimum = 0;
};

// values = scale * (code - zero)
struct ZeroPointFit {
  float scale = 0;
  float zero = 0;  // whole
};

struct BlockMoments {
  float low;
  float high;
  float weight;  // sum w
  float mean;    // sum w x / sum w; the middle where all weights are 0
};

namespace {

#if defined(__AVX512F__)
constexpr int kVectorLanes = 16;
#elif defined(__AVX__)
constexpr int kVectorLanes = 8;
#else
constexpr int kVectorLanes = 4;
#endif
using LaneVector [[gnu::vector_size(kVectorLanes * 4)]] = float;
using IntLanes [[gnu::vector_size(kVectorLanes * 4)]] = int;
// 1.5 * 2^23: adding and subtracting it rounds half to even; |value| must stay below 2^22.
constexpr float kRoundMagic = 12582912.0F;

inline LaneVector load_lanes(const float* source) {
  LaneVector lanes;
  __builtin_memcpy(&lanes, source, sizeof lanes);
  return lanes;
}
inline void store_lanes(const LaneVector& lanes, float* target) {
  __builtin_memcpy(target, &lanes, sizeof lanes);
}
inline LaneVector clamp_lanes(LaneVector value, const LaneVector& low, const LaneVector& high) {
  value = value < high ? value : high;
  return low < value ? value : low;
}
// The nearest whole number, half to even, not below `low` nor above `high` (both whole, below
// 2^21). Added to the magic number, values are in the order of their bits: integers are clamped in
// one instruction each.
inline LaneVector round_lanes(const LaneVector& value, const LaneVector& low,
                              const LaneVector& high) {
  IntLanes bits = __builtin_bit_cast(IntLanes, value + kRoundMagic);
  const IntLanes lowest = __builtin_bit_cast(IntLanes, low + kRoundMagic);
  const IntLanes highest = __builtin_bit_cast(IntLanes, high + kRoundMagic);
  bits = bits < highest ? bits : highest;
  bits = bits > lowest ? bits : lowest;
  return __builtin_bit_cast(LaneVector, bits) - kRoundMagic;
}
inline LaneVector round_lanes(const LaneVector& value, float low, float high) {
  return round_lanes(value, LaneVector{} + low, LaneVector{} + high);
}

// In pairs at distance 8, 4, 2, 1.
inline float sum_lanes(const Lanes& terms) {
  const float* v = terms.v;
  const float a = (v[0] + v[8]) + (v[4] + v[12]);
  const float b = (v[1] + v[9]) + (v[5] + v[13]);
  const float c = (v[2] + v[10]) + (v[6] + v[14]);
  const float d = (v[3] + v[11]) + (v[7] + v[15]);
  return (a + c) + (b + d);
}
inline float higher(float a, float b) { return a < b ? b : a; }
// Lane l of the result is lane l ^ kHalf of `lanes`.
template <int kHalf, std::size_t... kLane>
inline LaneVector swapped(const LaneVector& lanes, std::index_sequence<kLane...>) {
  return __builtin_shufflevector(lanes, lanes, static_cast<int>(kLane) ^ kHalf...);
}
template <int kHalf>
inline void take_higher_half(LaneVector& lanes) {
  const LaneVector other = swapped<kHalf>(lanes, std::make_index_sequence<kVectorLanes>{});
  lanes = lanes < other ? other : lanes;
}
inline float highest_lane(const Lanes& values) {
  LaneVector highest = load_lanes(values.v);
  for (int h = kVectorLanes; h < kLanes; h += kVectorLanes) {
    const LaneVector next = load_lanes(values.v + h);
    highest = highest < next ? next : highest;
  }
  if constexpr (kVectorLanes > 8) take_higher_half<8>(highest);
  if constexpr (kVectorLanes > 4) take_higher_half<4>(highest);
  take_higher_half<2>(highest);
  take_higher_half<1>(highest);
  return highest[0];
}
// The first lane that holds the largest (smallest) value; no lane may be NaN.
inline int index_of_largest(const Lanes& lanes) {
  const float highest = highest_lane(lanes);
  unsigned found = 0;
  for (int l = 0; l < kLanes; ++l) found |= lanes.v[l] == highest ? 1U << l : 0U;
  return __builtin_ctz(found | 1U << (kLanes - 1));
}
inline int index_of_smallest(const Lanes& lanes) {
  Lanes negated;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    store_lanes(-load_lanes(lanes.v + h), negated.v + h);
  }
  return index_of_largest(negated);
}

// Extremes and sums of a block. Lane l takes the values l, l + 16, ..., whatever the vector width.
struct BlockExtremes {
  float low;
  float high;
};
inline BlockExtremes block_extremes(const float* x, int count) {
  Lanes low;
  Lanes high;
  const int whole = count / kLanes * kLanes;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    LaneVector lowest = LaneVector{} + x[0];
    LaneVector highest = lowest;
    for (int i = h; i < whole; i += kLanes) {
      const LaneVector value = load_lanes(x + i);
      lowest = value < lowest ? value : lowest;
      highest = highest < value ? value : highest;
    }
    store_lanes(-lowest, low.v + h);
    store_lanes(highest, high.v + h);
  }
  BlockExtremes extremes{.low = -highest_lane(low), .high = highest_lane(high)};
  for (int i = whole; i < count; ++i) {
    extremes.low = x[i] < extremes.low ? x[i] : extremes.low;
    extremes.high = extremes.high < x[i] ? x[i] : extremes.high;
  }
  return extremes;
}
inline float largest_magnitude(const float* x, int count) {
  const BlockExtremes extremes = block_extremes(x, count);
  return extremes.high < -extremes.low ? -extremes.low : extremes.high;
}
struct WeightedSums {
  float weight;  // sum w
  float moment;  // sum w x
};
inline WeightedSums weighted_sums(const float* x, const float* w, int count) {
  Lanes weights;
  Lanes moments;
  const int whole = count / kLanes * kLanes;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    LaneVector sum_w{};
    LaneVector sum_wx{};
    for (int i = h; i < whole; i += kLanes) {
      const LaneVector weight = load_lanes(w + i);
      sum_w += weight;
      sum_wx += weight * load_lanes(x + i);
    }
    store_lanes(sum_w, weights.v + h);
    store_lanes(sum_wx, moments.v + h);
  }
  WeightedSums sums{.weight = sum_lanes(weights), .moment = sum_lanes(moments)};
  for (int i = whole; i < count; ++i) {
    sums.weight += w[i];
    sums.moment += w[i] * x[i];
  }
  return sums;
}

}  // namespace
}  // namespace quantlane
