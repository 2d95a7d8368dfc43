// What the levels of a code book cost for each value of a group, and points of them. Internal
// linkage for the reason given in lanes.h.
#pragma once
#include "formats/blocks/grids.h"
#include "formats/lanes.h"

namespace quantlane {
namespace {

// An entry that no point has.
constexpr float kNoEntry = 1e30F;

// For each value of a point, what each level costs more than the best level of that value: >= 0.
// `flip`: what turning the sign costs besides, read only where one sign has to turn.
struct alignas(64) LevelCosts {
  float level[32];
  float flip[32];
};

// Eight values of three levels: costs are [8][4], the last of each kNoEntry. A part is a pair.
struct TernaryOctet {
  static constexpr int kValues = 8;
  static constexpr int kBits = 2;
  static constexpr int kEntries = 4;
};
// Four values of eight levels: costs are [4][8]. A part is a value.
struct EightLevelQuad {
  static constexpr int kValues = 4;
  static constexpr int kBits = 4;
  static constexpr int kEntries = 8;
};

template <class Shape>
inline float cost_at(const float* costs, unsigned point, int value) {
  return costs[Shape::kEntries * value +
               static_cast<int>(point >> (Shape::kBits * value) & (Shape::kEntries - 1))];
}

inline float part_cost(TernaryOctet, const float* costs, unsigned point, int part) {
  return cost_at<TernaryOctet>(costs, point, 2 * part) +
         cost_at<TernaryOctet>(costs, point, 2 * part + 1);
}
inline float part_cost(EightLevelQuad, const float* costs, unsigned point, int part) {
  return cost_at<EightLevelQuad>(costs, point, part);
}

template <class Shape>
inline float least_flip(const LevelCosts& costs, unsigned point) {
  float least = cost_at<Shape>(costs.flip, point, 0);
  for (int j = 1; j < Shape::kValues; ++j) {
    const float flip = cost_at<Shape>(costs.flip, point, j);
    least = flip < least ? flip : least;
  }
  return least;
}

template <class Shape, bool kFlipOne>
inline float point_cost(const LevelCosts& costs, unsigned point) {
  float cost =
      (part_cost(Shape{}, costs.level, point, 0) + part_cost(Shape{}, costs.level, point, 1)) +
      (part_cost(Shape{}, costs.level, point, 2) + part_cost(Shape{}, costs.level, point, 3));
  if constexpr (kFlipOne) cost += least_flip<Shape>(costs, point);
  return cost;
}

// The levels of a code book, repeated to fill the lanes. Numbers without a level hold 0.
struct alignas(64) LevelLanes {
  float v[kLanes];
};

// Three levels take four lanes, eight levels eight.
template <int kLevels>
constexpr LevelLanes level_lanes(const float (&levels)[kLevels], float offset) {
  constexpr int kEntries = kLevels == 3 ? 4 : kLevels;
  LevelLanes lanes{};
  for (int l = 0; l < kLanes; ++l) {
    if (l % kEntries < kLevels) lanes.v[l] = levels[l % kEntries] + offset;
  }
  return lanes;
}

// Each of the first numbers four (eight) times.
#if defined(__AVX512F__)
inline LaneVector spread(TernaryOctet, const float* numbers) {
  const LaneVector v = load_lanes(numbers);
  return __builtin_shufflevector(v, v, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
}
inline LaneVector spread(EightLevelQuad, const float* numbers) {
  const LaneVector v = load_lanes(numbers);
  return __builtin_shufflevector(v, v, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
}
#elif defined(__AVX__)
inline LaneVector spread(TernaryOctet, const float* numbers) {
  const LaneVector v = load_lanes(numbers);
  return __builtin_shufflevector(v, v, 0, 0, 0, 0, 1, 1, 1, 1);
}
inline LaneVector spread(EightLevelQuad, const float* numbers) { return LaneVector{} + numbers[0]; }
#else
inline LaneVector spread(TernaryOctet, const float* numbers) { return LaneVector{} + numbers[0]; }
inline LaneVector spread(EightLevelQuad, const float* numbers) { return LaneVector{} + numbers[0]; }
#endif

template <class Shape>
inline void rate_levels(const float* value, const float* w, const float* least,
                        const LevelLanes& levels, float step, LevelCosts& costs) {
  constexpr int kEntries = Shape::kEntries;
  for (int i = 0; i < 32; i += kVectorLanes) {
    const int first = i / kEntries;
    const LaneVector level = load_lanes(levels.v + i % kEntries);
    const LaneVector difference = spread(Shape{}, value + first) - step * level;
    const LaneVector more =
        difference * difference * spread(Shape{}, w + first) - spread(Shape{}, least + first);
    const LaneVector cost = more > 0.0F ? more : LaneVector{};
    store_lanes(level == 0.0F ? LaneVector{} + kNoEntry : cost, costs.level + i);
  }
}

// w (value + v)^2 - w (value - v)^2 = 4 w value v
template <class Shape>
inline void rate_flips(const float* value, const float* w, const LevelLanes& levels, float step,
                       LevelCosts& costs) {
  constexpr int kEntries = Shape::kEntries;
  for (int i = 0; i < 32; i += kVectorLanes) {
    const int first = i / kEntries;
    const LaneVector level = load_lanes(levels.v + i % kEntries);
    const LaneVector weighted = spread(Shape{}, w + first) * spread(Shape{}, value + first);
    store_lanes(4.0F * step * level * weighted, costs.flip + i);
  }
}

}  // namespace
}  // namespace quantlane
