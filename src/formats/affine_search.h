// Scale and minimum of one block whose values are scale * code - minimum, code in 0..high.
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/symmetric_search.h"

namespace quantlane {
namespace {

struct AffineFit {
  float scale = 0;
  float minimum = 0;
};

struct BlockMoments {
  float low = 0;
  float high = 0;
  float weight = 0;  // sum w
  float mean = 0;    // sum w x / sum w
};

inline BlockMoments block_moments(const float* x, const float* w, int count) {
  BlockMoments moments{.low = x[0], .high = x[0], .weight = 0, .mean = 0};
  float sum = 0;
  for (int i = 0; i < count; ++i) {
    moments.low = x[i] < moments.low ? x[i] : moments.low;
    moments.high = moments.high < x[i] ? x[i] : moments.high;
    moments.weight += w[i];
    sum += w[i] * x[i];
  }
  if (moments.weight > 0) moments.mean = sum / moments.weight;
  return moments;
}

// Least-squares scale and minimum for the codes of one candidate, from sums over x - mean.
// `lowest` is the smallest allowed minimum (-infinity when free). Returns the explained part of the
// error (larger is better).
inline float solve_affine(const AffineSums& sums, int lane, const BlockMoments& moments,
                          float lowest, AffineFit& fit) {
  const float q = sums.q.v[lane];
  const float qq = sums.qq.v[lane];
  const float xq = sums.xq.v[lane];
  const float spread = qq - q * q / moments.weight;
  if (!(spread > 1e-6F * qq) || !(qq > 0)) return -1.0F;
  fit.scale = xq / spread;
  fit.minimum = fit.scale * q / moments.weight - moments.mean;
  if (fit.minimum >= lowest) return fit.scale * xq;
  // The best point on the boundary: values + lowest = scale * code.
  const float shift = moments.mean + lowest;
  fit.minimum = lowest;
  fit.scale = (xq + shift * q) / qq;
  return fit.scale * (xq + shift * q) - shift * shift * moments.weight;
}

inline AffineFit best_affine(const AffineSums& sums, const BlockMoments& moments, float lowest,
                             AffineFit fallback) {
  AffineFit best = fallback;
  float best_explained = -1e30F;
  for (int l = 0; l < kLanes; ++l) {
    AffineFit fit;
    const float explained = solve_affine(sums, l, moments, lowest, fit);
    if (explained > best_explained && fit.scale > 0) {
      best_explained = explained;
      best = fit;
    }
  }
  return best;
}

// Minimises sum w (scale * code - minimum - x)^2; minimum >= `lowest`. `centred`: room for `count`.
inline AffineFit search_affine(const float* x, const float* w, int count, float high_code,
                               float lowest, float* centred) {
  const BlockMoments moments = block_moments(x, w, count);
  float start = -moments.low;
  if (start < lowest) start = lowest;
  const float range = moments.high + start;
  if (!(range > 0)) return {.scale = 0, .minimum = start};  // every value at or below -lowest
  if (!(moments.weight > 0)) return {.scale = range / high_code, .minimum = start};
  for (int i = 0; i < count; ++i) centred[i] = x[i] - moments.mean;
  Lanes inverse;
  Lanes minimum;
  AffineSums sums;
  for (int l = 0; l < kLanes; ++l) {
    inverse.v[l] =
        (high_code + (static_cast<float>(l) - 5.0F) * 0.012F * (high_code + 5.0F)) / range;
    minimum.v[l] = start + moments.mean;
  }
  affine_sums(centred, w, count, inverse, minimum, high_code, sums);
  AffineFit fit =
      best_affine(sums, moments, lowest, {.scale = range / high_code, .minimum = start});
  for (int l = 0; l < kLanes; ++l) {
    const float stretch = 1.0F + (static_cast<float>(l % 4) - 1.5F) * 0.03F;
    inverse.v[l] = 1.0F / (fit.scale * stretch);
    minimum.v[l] =
        fit.minimum + moments.mean + (static_cast<float>(l / 4) - 1.5F) * 0.25F * fit.scale;
  }
  affine_sums(centred, w, count, inverse, minimum, high_code, sums);
  return best_affine(sums, moments, lowest, fit);
}

struct StoredAffine {
  unsigned short d = 0;  // binary16
  unsigned short m = 0;  // binary16; value = d * code + m
  unsigned char codes[kMaxBlock] = {};
};

// Codes 0..high_code under a stored scale and minimum.
inline void affine_codes(const float* x, int count, AffineFit fit, float high_code,
                         unsigned char* codes) {
  const float factor = fit.scale == 0.0F ? 0.0F : 1.0F / fit.scale;
  for (int i = 0; i < count; ++i) {
    float q = (fit.minimum + x[i]) * factor;
    q = q < high_code ? q : high_code;
    q = 0.0F < q ? q : 0.0F;
    q = (q + kRoundMagic) - kRoundMagic;
    codes[i] = static_cast<unsigned char>(static_cast<int>(q));
  }
}

// Rounds a found fit to binary16, trying its neighbourhood with exact errors.
inline AffineFit settle_affine(const float* x, const float* w, int count, float high_code,
                               float unit, AffineFit found) {
  Lanes scale;
  Lanes minimum;
  AffineSums sums;
  for (int l = 0; l < kLanes; ++l) {
    const float stretch = 1.0F + (static_cast<float>(l % 4) - 1.5F) * 0.01F;
    const float shift = (static_cast<float>(l / 4) - 1.5F) * 0.08F * found.scale;
    scale.v[l] = round_scale(found.scale * stretch, unit);
    minimum.v[l] = round_scale(found.minimum + shift, unit);
  }
  scale.v[0] = round_scale(found.scale, unit);
  minimum.v[0] = round_scale(found.minimum, unit);
  affine_errors(x, w, count, scale, minimum, high_code, sums);
  const int best = smallest_lane(sums.error);
  return {.scale = scale.v[best], .minimum = minimum.v[best]};
}

// One block with a binary16 scale and minimum of its own. `importance` may be null;
// count <= kMaxBlock.
inline StoredAffine encode_affine_block(const float* values, const float* importance, int count,
                                        float high_code) {
  constexpr float kFree = -1e30F;
  StoredAffine stored;
  alignas(64) float x[kMaxBlock];
  alignas(64) float w[kMaxBlock];
  alignas(64) float centred[kMaxBlock];
  const float unit = prepare_block(values, importance, count, x, w);
  if (unit == 0.0F) return stored;
  const AffineFit found = search_affine(x, w, count, high_code, kFree, centred);
  const AffineFit fit = settle_affine(x, w, count, high_code, unit, found);
  stored.d = finite_f16_bits(fit.scale * unit);
  stored.m = finite_f16_bits(-fit.minimum * unit);
  affine_codes(x, count, fit, high_code, stored.codes);
  return stored;
}

}  // namespace
}  // namespace quantlane
