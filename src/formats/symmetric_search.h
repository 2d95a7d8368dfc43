// Scale of one block whose values are scale * code, code in a fixed range. Internal linkage for the
// reason given in lanes.h.
#pragma once
#include "formats/block_values.h"

namespace quantlane {
namespace {

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

// Minimises sum w (x - scale * code)^2 over candidates, each refined by its least-squares scale:
// half of them put the value of largest magnitude at or around code `low`, half at or around
// `high`. Not yet rounded to storage.
inline float search_symmetric_scale(const float* x, const float* w, int count, CodeRange range) {
  const BlockExtremes extremes = block_extremes(x, count);
  const float extreme = extremes.high < -extremes.low ? extremes.low : extremes.high;
  if (extreme == 0.0F) return 0.0F;
  Lanes inverse;
  Lanes xq;
  Lanes qq;
  for (int l = 0; l < kLanes / 2; ++l) {
    const float steps = range.low * (1.0F + (static_cast<float>(l) - 2.0F) * 0.06F);
    inverse.v[l] = steps / extreme;
    inverse.v[l + kLanes / 2] = (-0.5F - steps) / extreme;
  }
  symmetric_sums(x, w, count, inverse, range, xq, qq);
  return best_explained_scale(xq, qq);
}

// Rounds a found scale to binary16, trying its neighbourhood with exact errors.
inline float settle_symmetric_scale(const float* x, const float* w, int count, CodeRange range,
                                    float unit, float found) {
  Lanes scale;
  Lanes error;
  Lanes xq;
  Lanes qq;
  for (int l = 0; l < kLanes; ++l) {
    const float factor = 1.0F + (static_cast<float>(l) - 8.0F) * 0.004F;
    scale.v[l] = round_scale(found * factor, unit);
  }
  symmetric_errors(x, w, count, scale, range, error, xq, qq);
  return scale.v[index_of_smallest(error)];
}

// Codes under a stored scale, minus `range.low`, so that they start at 0.
inline void symmetric_codes(const float* x, int count, float scale, CodeRange range,
                            unsigned char* codes) {
  const float factor = scale == 0.0F ? 0.0F : 1.0F / scale;
  for (int i = 0; i < count; ++i) {
    float q = factor * x[i];
    q = q < range.high ? q : range.high;
    q = range.low < q ? q : range.low;
    q = (q + kRoundMagic) - kRoundMagic;
    codes[i] = static_cast<unsigned char>(static_cast<int>(q - range.low));
  }
}

constexpr int kMaxBlock = 32;

struct StoredSymmetric {
  unsigned short d = 0;                 // binary16
  unsigned char codes[kMaxBlock] = {};  // minus range.low
};

// One block with a binary16 scale of its own. `importance` may be null; count <= kMaxBlock.
inline StoredSymmetric encode_symmetric_block(const float* values, const float* importance,
                                              int count, CodeRange range) {
  StoredSymmetric stored;
  alignas(64) float x[kMaxBlock] = {};
  alignas(64) float w[kMaxBlock];
  const float unit = prepare_block(values, importance, count, x, w);
  float scale = 0.0F;
  if (unit != 0.0F) {
    const float found = search_symmetric_scale(x, w, count, range);
    scale = settle_symmetric_scale(x, w, count, range, unit, found);
    stored.d = finite_f16_bits(scale * unit);
  }
  symmetric_codes(x, count, scale, range, stored.codes);
  return stored;
}

}  // namespace
}  // namespace quantlane
