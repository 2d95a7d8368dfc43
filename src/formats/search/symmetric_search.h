// Scale of one block whose values are scale * code, code in a fixed range. Internal linkage for the
// reason given in lanes.h.
#pragma once
#include "formats/block_values.h"
#include "formats/search/candidate_sums.h"

namespace quantlane {
namespace {

constexpr int kMaxBlock = 32;

// The least-squares scale for the codes of each candidate explains (sum w x q)^2 / sum w q^2 of
// sum w x^2; returns the scale that explains most, 0 where none does.
inline float best_explained_scale(const Lanes& xq, const Lanes& qq) {
  Lanes explained;
  Lanes scale;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector numerator = load_lanes(xq.v + h);
    const LaneVector denominator = load_lanes(qq.v + h);
    const LaneVector divisor = denominator > 0.0F ? denominator : LaneVector{} + 1.0F;
    const LaneVector quotient = denominator > 0.0F ? numerator / divisor : LaneVector{};
    store_lanes(quotient, scale.v + h);
    store_lanes(quotient * numerator, explained.v + h);
  }
  return scale.v[index_of_largest(explained)];
}

// The value of largest magnitude; of two the positive one.
inline float extreme_value(const float* x, int count) {
  const BlockExtremes extremes = block_extremes(x, count);
  return extremes.high < -extremes.low ? extremes.low : extremes.high;
}

// Minimises sum w (x - scale * code)^2 over candidates, each refined by its least-squares scale:
// half of them put the value of largest magnitude at or around code `low`, half at or around
// `high`. Not yet rounded to storage.
template <class Codes>
inline float search_symmetric_scale(const float* x, const float* w, int count, const Codes& codes) {
  const float extreme = extreme_value(x, count);
  if (extreme == 0.0F) return 0.0F;
  Lanes inverse;
  Lanes xq;
  Lanes qq;
  for (int l = 0; l < kLanes / 2; ++l) {
    const float stretch = 1.0F + (static_cast<float>(l) - 2.0F) * 0.06F;
    inverse.v[l] = stretch * lowest_code(codes) / extreme;
    inverse.v[l + kLanes / 2] = stretch * (highest_code(codes) + 0.5F) / extreme;
  }
  symmetric_sums(x, w, count, inverse, codes, xq, qq);
  return best_explained_scale(xq, qq);
}

// Rounds a found scale to binary16, trying its neighbourhood with exact errors.
template <class Codes>
inline float settle_symmetric_scale(const float* x, const float* w, int count, const Codes& codes,
                                    float unit, float found) {
  Lanes scale;
  Lanes error;
  Lanes xq;
  Lanes qq;
  for (int l = 0; l < kLanes; ++l) {
    const float factor = 1.0F + (static_cast<float>(l) - 8.0F) * 0.004F;
    scale.v[l] = round_scale(found * factor, unit);
  }
  symmetric_errors(x, w, count, scale, codes, error, xq, qq);
  return scale.v[index_of_smallest(error)];
}

// Codes under a stored scale, as stored (from 0); count is 16 or 32.
template <class Codes>
inline void symmetric_codes(const float* x, int count, float scale, const Codes& codes,
                            unsigned char* stored) {
  const float factor = scale == 0.0F ? 0.0F : 1.0F / scale;
  for (int i = 0; i < count; ++i) {
    stored[i] = static_cast<unsigned char>(nearest_index(factor * x[i], codes));
  }
}
inline void symmetric_codes(const float* x, int count, float scale, const CodeRange& codes,
                            unsigned char* stored) {
  const float factor = scale == 0.0F ? 0.0F : 1.0F / scale;
  float whole[kMaxBlock];
  for (int i = 0; i < count; i += kVectorLanes) {
    store_lanes(nearest_code(factor * load_lanes(x + i), codes) - codes.low, whole + i);
  }
  store_codes(whole, count, stored);
}

struct StoredSymmetric {
  unsigned short d = 0;                 // binary16
  unsigned char codes[kMaxBlock] = {};  // from 0
};

// One block with a binary16 scale of its own. `importance` may be null; count <= kMaxBlock.
template <class Codes>
inline StoredSymmetric encode_symmetric_block(const float* values, const float* importance,
                                              int count, const Codes& codes) {
  StoredSymmetric stored;
  alignas(64) float x[kMaxBlock] = {};
  alignas(64) float w[kMaxBlock];
  const float unit = prepare_block(values, importance, count, x, w);
  float scale = 0.0F;
  if (unit != 0.0F) {
    const float found = search_symmetric_scale(x, w, count, codes);
    scale = settle_symmetric_scale(x, w, count, codes, unit, found);
    stored.d = finite_f16_bits(scale * unit);
  }
  symmetric_codes(x, count, scale, codes, stored.codes);
  return stored;
}

}  // namespace
}  // namespace quantlane
