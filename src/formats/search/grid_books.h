// What the code books of the i-quants share: nearest levels, rating of steps, levels of a point,
// sums of a sub-block. The books themselves: iq1_encoders.h, iq2_encoders.h, iq3_encoders.h.
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/search/candidate_sums.h"
#include "formats/search/grid_costs.h"

namespace quantlane {
namespace {

constexpr int kMaxSubBlock = 32;
constexpr int kMaxOctets = kMaxSubBlock / 8;

// A sub-block of which all but the step is known. `value` (magnitudes where signs are apart) and
// `w` are readable up to kLanes - 1 beyond the end.
struct SubBlock {
  const float* value;
  const float* w;
  const unsigned char* signs;  // per 8 values, bit j: value j is negative
};

// Eight values: one point of 8 values, or two of 4.
struct OctetCode {
  unsigned short points[2];  // iq1: with the offset added, subtracted
  unsigned char signs;
  unsigned char minus;  // iq1: 1 = the offset is subtracted
};

// value = step * q: sums of one coding of a sub-block, whatever the step.
struct SubBlockSums {
  float xq;  // sum w value q
  float qq;  // sum w q^2
};

// The levels of half a point, which is a byte: four values of 2 bits or two of 4 bits.
struct HalfPointLevels {
  alignas(64) float v[256][4];
};
inline void fill_ternary_levels(const LevelLanes& levels, HalfPointLevels& half) {
  for (int byte = 0; byte < 256; ++byte) {
    for (int j = 0; j < 4; ++j) half.v[byte][j] = levels.v[byte >> (2 * j) & 3];
  }
}
inline void fill_quad_levels(const LevelLanes& levels, HalfPointLevels& half) {
  for (int byte = 0; byte < 256; ++byte) {
    half.v[byte][0] = levels.v[byte & 7];
    half.v[byte][1] = levels.v[byte >> 4 & 7];
  }
}
inline void put_ternary_levels(const HalfPointLevels& half, unsigned point, float* q) {
  __builtin_memcpy(q, half.v[point & 255], 4 * sizeof(float));
  __builtin_memcpy(q + 4, half.v[point >> 8], 4 * sizeof(float));
}
inline void put_quad_levels(const HalfPointLevels& half, unsigned point, float* q) {
  __builtin_memcpy(q, half.v[point & 255], 2 * sizeof(float));
  __builtin_memcpy(q + 2, half.v[point >> 8], 2 * sizeof(float));
}

inline SubBlockSums sums_of(const SubBlock& block, const float* q, int count) {
  Lanes xq;
  Lanes qq;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    LaneVector sum_xq{};
    LaneVector sum_qq{};
    for (int i = h; i < count; i += kLanes) {
      const LaneVector code = load_lanes(q + i);
      const LaneVector weighted = load_lanes(block.w + i) * code;
      sum_xq += weighted * load_lanes(block.value + i);
      sum_qq += weighted * code;
    }
    store_lanes(sum_xq, xq.v + h);
    store_lanes(sum_qq, qq.v + h);
  }
  return {.xq = sum_lanes(xq), .qq = sum_lanes(qq)};
}

// Number of the nearest of the ascending levels times step, and its weighted squared distance.
template <int kLevels>
inline void nearest_levels(const SubBlock& block, int count, const LevelLanes& levels, float step,
                           unsigned char* number, float* least) {
  float whole[kMaxSubBlock];
  for (int i = 0; i < count; i += kVectorLanes) {
    const LaneVector value = load_lanes(block.value + i);
    LaneVector nearest = LaneVector{} + levels.v[0];
    LaneVector found{};
    for (int k = 1; k < kLevels; ++k) {
      const LaneVector border = LaneVector{} + step * (0.5F * (levels.v[k - 1] + levels.v[k]));
      nearest = value > border ? LaneVector{} + levels.v[k] : nearest;
      found = value > border ? LaneVector{} + static_cast<float>(k) : found;
    }
    const LaneVector difference = value - step * nearest;
    store_lanes(difference * difference * load_lanes(block.w + i), least + i);
    store_lanes(found, whole + i);
  }
  store_codes(whole, count, number);
}

// Sums under sixteen steps, as if every combination of three levels were a point.
inline void rate_ternary_steps(const SubBlock& block, int count, const LevelLanes& levels,
                               const Lanes& steps, Lanes& xq, Lanes& qq) {
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector step = load_lanes(steps.v + h);
    const LaneVector low = step * (0.5F * (levels.v[0] + levels.v[1]));
    const LaneVector high = step * (0.5F * (levels.v[1] + levels.v[2]));
    LaneVector sum_xq{};
    LaneVector sum_qq{};
    for (int i = 0; i < count; ++i) {
      const LaneVector value = LaneVector{} + block.value[i];
      LaneVector q = value > low ? LaneVector{} + levels.v[1] : LaneVector{} + levels.v[0];
      q = value > high ? LaneVector{} + levels.v[2] : q;
      const LaneVector weighted = q * block.w[i];
      sum_xq += weighted * value;
      sum_qq += weighted * q;
    }
    store_lanes(sum_xq, xq.v + h);
    store_lanes(sum_qq, qq.v + h);
  }
}

// Four numbers below 16, or eight below 4, as 16 bits.
inline unsigned pack_quad(const unsigned char* number) {
  unsigned bytes = 0;
  __builtin_memcpy(&bytes, number, sizeof bytes);
  bytes = (bytes | bytes >> 4) & 0x00FF00FFU;
  return (bytes | bytes >> 8) & 0xFFFFU;
}
inline unsigned pack_ternary(const unsigned char* number) {
  unsigned long long bytes = 0;
  __builtin_memcpy(&bytes, number, sizeof bytes);
  bytes = (bytes | bytes >> 6) & 0x000F000F000F000FULL;
  bytes = (bytes | bytes >> 12) & 0x000000FF000000FFULL;
  return static_cast<unsigned>(bytes | bytes >> 24) & 0xFFFFU;
}

// Makes magnitudes of the values of a super-block.
inline void split_signs(float* x, int octets, unsigned char* signs) {
  for (int g = 0; g < octets; ++g) {
    unsigned negative = 0;
    for (int j = 0; j < 8; ++j) {
      negative |= x[8 * g + j] < 0 ? 1U << j : 0U;
      x[8 * g + j] = x[8 * g + j] < 0 ? -x[8 * g + j] : x[8 * g + j];
    }
    signs[g] = static_cast<unsigned char>(negative);
  }
}

// Turns the sign of the one of `count` values where that costs least: 4 step w value q.
inline int flip_cheapest(const float* value, const float* w, int count, float* q) {
  int cheapest = 0;
  float least = w[0] * value[0] * q[0];
  for (int j = 1; j < count; ++j) {
    const float cost = w[j] * value[j] * q[j];
    cheapest = cost < least ? j : cheapest;
    least = cost < least ? cost : least;
  }
  q[cheapest] = -q[cheapest];
  return cheapest;
}

}  // namespace
}  // namespace quantlane
