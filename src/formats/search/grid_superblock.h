// Joint search for super-blocks of 256 values = base * (2 s_j + 1) * q: one base, which is a
// binary16 d times a power of two, one small number s_j per sub-block, codes q from a book.
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/block_values.h"
#include "formats/search/grid_books.h"
#include "formats/search/symmetric_search.h"

namespace quantlane {
namespace {

constexpr int kGridBlock = 256;
constexpr int kGridOctets = kGridBlock / 8;
constexpr int kMaxGridScales = 16;
constexpr int kMaxTries = 3;

struct GridLayout {
  int length;         // values per scale
  int highest_scale;  // s_j is 0 .. highest_scale
  float part;         // base / d
  Lanes first_steps;  // in units of the largest magnitude: first_grid_steps
  // Steps at which the book is searched, in units of the best of the first ones.
  int tries;
  float steps[kMaxTries];
};

struct GridSuperBlock {
  unsigned short d = 0;  // binary16
  int scales[kMaxGridScales] = {};
  OctetCode codes[kGridOctets] = {};
};

// `flat` for blocks of nearly equal magnitudes, then `first`, `first` * ratio, ...
constexpr Lanes first_grid_steps(float flat, float first, float ratio) {
  Lanes lanes{};
  lanes.v[0] = flat;
  for (int l = 1; l < kLanes; ++l) {
    lanes.v[l] = first;
    first *= ratio;
  }
  return lanes;
}

struct FoundStep {
  float step = 0;
  float curvature = 0;  // error = least error + curvature * (other step - step)^2, nearly
};

// The least-squares step of the best coding among a few. The region to look at comes from sixteen
// steps judged as if every combination of levels were a point.
template <class Book>
inline FoundStep find_step(const Book& book, const GridLayout& layout, const SubBlock& block,
                           OctetCode* codes) {
  const float largest = largest_magnitude(block.value, layout.length);
  if (largest == 0.0F) return {};
  Lanes steps;
  Lanes xq;
  Lanes qq;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    store_lanes(largest * load_lanes(layout.first_steps.v + h), steps.v + h);
  }
  book.rate_steps(block, steps, xq, qq);
  const float middle = best_explained_scale(xq, qq);
  if (!(middle > 0)) return {};
  FoundStep found;
  float explained = 0;
  const auto search = [&](float step) {
    const SubBlockSums sums = book.fit(block, step, codes);
    if (!(sums.xq > 0 && sums.xq * sums.xq > explained * sums.qq)) return;
    found = {.step = sums.xq / sums.qq, .curvature = sums.qq};
    explained = found.step * sums.xq;
  };
  for (int i = 0; i < layout.tries; ++i) search(middle * layout.steps[i]);
  // Equal magnitudes are a point at the lowest level, but need not be one at another level.
  constexpr float kNearlyFlat = 0.9F;
  if (xq.v[0] * xq.v[0] > kNearlyFlat * explained * qq.v[0]) search(xq.v[0] / qq.v[0]);
  return found;
}

// s of the step base * (2 s + 1) nearest to `step`.
inline LaneVector nearest_grid_scale(const LaneVector& step, const LaneVector& base,
                                     const LaneVector& highest) {
  const LaneVector s = clamp_lanes(0.5F * (step / base - 1.0F), LaneVector{}, highest);
  return (s + kRoundMagic) - kRoundMagic;
}

// The base among sixteen that suits the found steps best; 0 where none can be stored.
inline float choose_base(const GridLayout& layout, const FoundStep* found, float unit) {
  const int count = kGridBlock / layout.length;
  float largest = 0;
  for (int j = 0; j < count; ++j) largest = higher(largest, found[j].step);
  const float reach = largest / static_cast<float>(2 * layout.highest_scale + 1);
  Lanes candidates;
  for (int l = 0; l < kLanes; ++l) {
    const float wanted = reach * (0.9F + 0.0125F * static_cast<float>(l));
    candidates.v[l] = round_scale(wanted / layout.part, unit) * layout.part;
  }
  Lanes error;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector stored = load_lanes(candidates.v + h);
    const LaneVector highest = LaneVector{} + static_cast<float>(layout.highest_scale);
    const LaneVector safe = stored > 0.0F ? stored : LaneVector{} + 1.0F;
    LaneVector sum{};
    for (int j = 0; j < count; ++j) {
      const LaneVector step = LaneVector{} + found[j].step;
      const LaneVector s = nearest_grid_scale(step, safe, highest);
      const LaneVector difference = stored * (2.0F * s + 1.0F) - step;
      sum += difference * difference * found[j].curvature;
    }
    store_lanes(sum, error.v + h);
  }
  return candidates.v[index_of_smallest(error)];
}

// The codes of every sub-block under `base`, then the least-squares base of these codes where that
// is better.
template <class Book>
inline float settle_codes(const Book& book, const GridLayout& layout, const SubBlock* blocks,
                          const FoundStep* found, float unit, float base, GridSuperBlock& result) {
  float numerator = 0;
  float denominator = 0;
  for (int j = 0; j < kGridBlock / layout.length; ++j) {
    const LaneVector highest = LaneVector{} + static_cast<float>(layout.highest_scale);
    const float s =
        nearest_grid_scale(LaneVector{} + found[j].step, LaneVector{} + base, highest)[0];
    const float multiple = 2.0F * s + 1.0F;
    const SubBlockSums sums =
        book.fit(blocks[j], base * multiple, result.codes + j * (layout.length / 8));
    result.scales[j] = static_cast<int>(s);
    numerator += multiple * sums.xq;
    denominator += multiple * multiple * sums.qq;
  }
  if (!(numerator > 0 && denominator > 0)) return base;
  const float refined = round_scale(numerator / denominator / layout.part, unit) * layout.part;
  const auto error = [&](float b) { return b * (b * denominator - 2.0F * numerator); };
  return refined > 0 && error(refined) < error(base) ? refined : base;
}

// `importance` may be null. Deterministic; any finite input gives finite output.
template <class Book>
inline GridSuperBlock encode_grid_superblock(const Book& book, const GridLayout& layout,
                                             const float* values, const float* importance) {
  GridSuperBlock result;
  alignas(64) float x[kGridBlock + kLanes] = {};
  alignas(64) float w[kGridBlock + kLanes] = {};
  unsigned char signs[kGridOctets] = {};
  const float unit = prepare_block(values, importance, kGridBlock, x, w);
  if (unit == 0.0F) return result;
  book.prepare(x, signs);
  SubBlock blocks[kMaxGridScales];
  FoundStep found[kMaxGridScales];
  for (int j = 0; j < kGridBlock / layout.length; ++j) {
    const int first = j * layout.length;
    blocks[j] = {.value = x + first, .w = w + first, .signs = signs + first / 8};
    found[j] = find_step(book, layout, blocks[j], result.codes + first / 8);
  }
  float base = choose_base(layout, found, unit);
  if (!(base > 0)) return {};
  base = settle_codes(book, layout, blocks, found, unit, base, result);
  result.d = finite_f16_bits(base / layout.part * unit);
  return result;
}

}  // namespace
}  // namespace quantlane
