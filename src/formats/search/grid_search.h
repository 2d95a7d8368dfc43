// The point of a code book with the least cost. Costs are compared in 240ths of the cost of a point
// that is known, so that a byte holds one: every point of the book is looked at, the result is the
// same on every instruction set, and what is lost to rounding is far below what steps and scales
// lose. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/search/grid_bytes.h"
#include "formats/search/grid_costs.h"
#include "formats/search/grid_index.h"

namespace quantlane {
namespace {

// Costs below this are as good as none; their inverse is still finite.
constexpr float kNoCost = 1e-30F;

struct NearestPoint {
  int index;
  float cost;
};

// Costs are compared in this many parts of the cost of a known point; with eight or nine roundings
// that point itself stays below 255.
constexpr float kByteCost = 240;

#if defined(__AVX2__)
struct PartTables {
  ByteVector part[kGridParts];
};

// What entry e of each part costs; `flips`: the least of its values instead of their sum.
inline PartTables part_tables(TernaryOctet, const float* costs, float scale, bool flips) {
  // First and second value of an entry, in the first or second pair of 128 bits.
  const __m128i first = _mm_set1_epi32(0x03020100);
  const __m128i second = _mm_set_epi32(0x07070707, 0x06060606, 0x05050505, 0x04040404);
  PartTables tables;
  for (int t = 0; t < kGridParts; ++t) {
    const ByteVector bytes = scaled_bytes(costs + t / 2 * 16, scale);
    const __m128i from = _mm_set1_epi8(static_cast<char>(t % 2 * 8));
    const ByteVector a = look_up(bytes, repeat_bytes(_mm_add_epi8(first, from)));
    const ByteVector b = look_up(bytes, repeat_bytes(_mm_add_epi8(second, from)));
    tables.part[t] = flips ? lower_bytes(a, b) : add_bytes(a, b);
  }
  return tables;
}
inline PartTables part_tables(EightLevelQuad, const float* costs, float scale, bool) {
  const __m128i value = _mm_set_epi32(0x07060504, 0x03020100, 0x07060504, 0x03020100);
  PartTables tables;
  for (int t = 0; t < kGridParts; ++t) {
    const __m128i from = _mm_set1_epi8(static_cast<char>(t % 2 * 8));
    tables.part[t] =
        look_up(scaled_bytes(costs + t / 2 * 16, scale), repeat_bytes(_mm_add_epi8(value, from)));
  }
  return tables;
}

// Lane l of `least` is the least cost of the points l, l + kByteLanes, ..., `block` says of which.
inline int first_of_least(const ByteVector& least, const ByteVector& block) {
  const ByteVector lowest = all_bytes(lowest_byte(least));
  const unsigned first = lowest_byte(where_lower(lowest, least, all_bytes(255), block));
  const uint64_t found = equal_bytes(least, lowest) & equal_bytes(block, all_bytes(first));
  return static_cast<int>(first) * kByteLanes + __builtin_ctzll(found);
}

// The first point of least cost in bytes.
template <class Shape, bool kFlipOne>
inline int search_points(const GridIndex& grid, const LevelCosts& costs, float scale) {
  const PartTables level = part_tables(Shape{}, costs.level, scale, false);
  PartTables flip = level;
  if constexpr (kFlipOne) flip = part_tables(Shape{}, costs.flip, scale, true);
  ByteVector least = all_bytes(255);
  ByteVector block = all_bytes(0);
  for (int b = 0; b * kByteLanes < grid.count; ++b) {
    ByteVector e[kGridParts];
    for (int t = 0; t < kGridParts; ++t) e[t] = load_bytes(grid.entries[t] + b * kByteLanes);
    ByteVector sum =
        add_bytes(add_bytes(look_up(level.part[0], e[0]), look_up(level.part[1], e[1])),
                  add_bytes(look_up(level.part[2], e[2]), look_up(level.part[3], e[3])));
    if constexpr (kFlipOne) {
      sum = add_bytes(
          sum, lower_bytes(lower_bytes(look_up(flip.part[0], e[0]), look_up(flip.part[1], e[1])),
                           lower_bytes(look_up(flip.part[2], e[2]), look_up(flip.part[3], e[3]))));
    }
    block = where_lower(sum, least, all_bytes(static_cast<unsigned>(b)), block);
    least = lower_bytes(least, sum);
  }
  return first_of_least(least, block);
}
#else
template <class Shape>
inline int byte_cost(const int* costs, unsigned point, int value) {
  return costs[Shape::kEntries * value +
               static_cast<int>(point >> (Shape::kBits * value) & (Shape::kEntries - 1))];
}

inline int scaled_byte(float cost, float scale) {
  const float scaled = cost * scale + 0.5F;
  return static_cast<int>(scaled < 255.0F ? scaled : 255.0F);
}

template <class Shape>
inline int least_byte_flip(const int* flip, unsigned point) {
  int least = byte_cost<Shape>(flip, point, 0);
  for (int j = 1; j < Shape::kValues; ++j) {
    const int cost = byte_cost<Shape>(flip, point, j);
    least = cost < least ? cost : least;
  }
  return least;
}

// The first point of least cost in bytes; buckets whose first half alone costs more are skipped.
template <class Shape, bool kFlipOne>
inline int search_points(const GridIndex& grid, const LevelCosts& costs, float scale) {
  int level[32];
  int flip[32];
  for (int i = 0; i < 32; ++i) {
    level[i] = scaled_byte(costs.level[i], scale);
    flip[i] = kFlipOne ? scaled_byte(costs.flip[i], scale) : 0;
  }
  int least = 255;
  int found = 0;
  for (int b = 0; b < grid.bucket_count; ++b) {
    const int first = grid.bucket_first[b];
    int shared = 0;
    for (int j = 0; j < Shape::kValues / 2; ++j) {
      shared += byte_cost<Shape>(level, grid.points[grid.order[first]], j);
    }
    if (shared > least) continue;
    for (int i = first; i < grid.bucket_first[b + 1]; ++i) {
      const int index = grid.order[i];
      const unsigned point = grid.points[index];
      int sum = shared;
      for (int j = Shape::kValues / 2; j < Shape::kValues; ++j) {
        sum += byte_cost<Shape>(level, point, j);
      }
      if (kFlipOne && sum <= least) sum += least_byte_flip<Shape>(flip, point);
      if (sum < least || (sum == least && index < found)) {
        least = sum;
        found = index;
      }
    }
  }
  return found;
}
#endif

inline int index_near(const GridIndex& grid, unsigned combination) {
  return grid.nearest[grid.key_low[combination & 255] + grid.key_high[combination >> 8]];
}

// `guess`, `other`: any points; the cheaper the better one is, the finer the comparison.
template <class Shape, bool kFlipOne>
inline NearestPoint nearest_point(const GridIndex& grid, const LevelCosts& costs, int guess,
                                  int other) {
  const float cost = point_cost<Shape, kFlipOne>(costs, grid.points[guess]);
  const float other_cost = point_cost<Shape, kFlipOne>(costs, grid.points[other]);
  const float known = other_cost < cost ? other_cost : cost;
  if (known <= kNoCost) return {.index = cost <= kNoCost ? guess : other, .cost = known};
  const int found = search_points<Shape, kFlipOne>(grid, costs, kByteCost / known);
  return {.index = found, .cost = point_cost<Shape, kFlipOne>(costs, grid.points[found])};
}

}  // namespace
}  // namespace quantlane
