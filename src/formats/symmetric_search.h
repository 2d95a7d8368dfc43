// Scale of one block whose values are scale * code, code in a fixed range.
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/block_values.h"

namespace quantlane {
namespace {

inline int largest_lane(const Lanes& lanes) {
  int best = 0;
  for (int l = 1; l < kLanes; ++l) {
    if (lanes.v[l] > lanes.v[best]) best = l;
  }
  return best;
}
inline int smallest_lane(const Lanes& lanes) {
  int best = 0;
  for (int l = 1; l < kLanes; ++l) {
    if (lanes.v[l] < lanes.v[best]) best = l;
  }
  return best;
}

// The least-squares scale for the codes of each candidate, and how much of sum w x^2 it explains.
inline float best_explained_scale(const Lanes& xq, const Lanes& qq) {
  Lanes explained;
  for (int l = 0; l < kLanes; ++l) {
    explained.v[l] = qq.v[l] > 0 ? xq.v[l] * xq.v[l] / qq.v[l] : 0.0F;
  }
  const int best = largest_lane(explained);
  return qq.v[best] > 0 ? xq.v[best] / qq.v[best] : 0.0F;
}

// Value of largest magnitude, with its sign.
inline float extreme_value(const float* x, int count) {
  float extreme = 0;
  float largest = 0;
  for (int i = 0; i < count; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    if (magnitude > largest) {
      largest = magnitude;
      extreme = x[i];
    }
  }
  return extreme;
}

// Minimises sum w (x - scale * code)^2 over candidates that put the extreme value between code
// `low` and further out or in, each refined by its least-squares scale. Not yet rounded to storage.
inline float search_symmetric_scale(const float* x, const float* w, int count, CodeRange range) {
  const float extreme = extreme_value(x, count);
  if (extreme == 0.0F) return 0.0F;
  Lanes inverse;
  Lanes xq;
  Lanes qq;
  const float reach = -range.low;
  for (int l = 0; l < kLanes; ++l) {
    const float steps = reach + (static_cast<float>(l) - 4.0F) * 0.03F * reach;
    inverse.v[l] = -steps / extreme;
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
  const int best = smallest_lane(error);
  return scale.v[best];
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
  alignas(64) float x[kMaxBlock];
  alignas(64) float w[kMaxBlock];
  const float unit = prepare_block(values, importance, count, x, w);
  float scale = 0.0F;
  if (unit != 0.0F) {
    const float found = search_symmetric_scale(x, w, count, range);
    scale = settle_symmetric_scale(x, w, count, range, unit, found);
    stored.d = finite_f16_bits(scale * unit);
  } else {
    for (int i = 0; i < count; ++i) x[i] = 0.0F;
  }
  symmetric_codes(x, count, scale, range, stored.codes);
  return stored;
}

}  // namespace
}  // namespace quantlane
