// Scale and minimum of one block whose values are scale * code - minimum, code in 0..high.
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/search/symmetric_search.h"

namespace quantlane {
namespace {

inline BlockMoments block_moments(const float* x, const float* w, int count) {
  const BlockExtremes extremes = block_extremes(x, count);
  const WeightedSums sums = weighted_sums(x, w, count);
  const float middle = 0.5F * (extremes.low + extremes.high);
  return {.low = extremes.low,
          .high = extremes.high,
          .weight = sums.weight,
          .mean = sums.weight > 0 ? sums.moment / sums.weight : middle};
}

struct ExplainedFit {
  AffineFit fit;
  float explained;  // of sum w (x - mean)^2, so comparable between candidates of one block
};

// Replaces `best` by the least-squares scale and minimum for the codes of a candidate, from sums
// over x - mean and with minimum >= `lowest`, where one with a positive scale explains more.
inline void improve_affine(const AffineSums& sums, const BlockMoments& moments, float lowest,
                           ExplainedFit& best) {
  constexpr float kNever = -1e30F;
  Lanes explained;
  Lanes scale;
  Lanes minimum;
  const LaneVector one = LaneVector{} + 1.0F;
  const LaneVector never = LaneVector{} + kNever;
  const float inverse_weight = 1.0F / moments.weight;
  // On the boundary the problem is (x - mean) + shift = scale * code.
  const float shift = moments.mean + lowest;
  const float shift_error = shift * shift * moments.weight;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector q = load_lanes(sums.q.v + h);
    const LaneVector qq = load_lanes(sums.qq.v + h);
    const LaneVector xq = load_lanes(sums.xq.v + h);
    const LaneVector spread = qq - q * q * inverse_weight;
    const LaneVector free_scale = xq / (spread > 1e-6F * qq ? spread : one);
    const LaneVector free_minimum = free_scale * q * inverse_weight - moments.mean;
    const LaneVector shifted_xq = xq + shift * q;
    const LaneVector bound_scale = shifted_xq / (qq > 0.0F ? qq : one);
    LaneVector chosen_scale = free_minimum < lowest ? bound_scale : free_scale;
    LaneVector gain =
        free_minimum < lowest ? bound_scale * shifted_xq - shift_error : free_scale * xq;
    gain = spread > 1e-6F * qq ? gain : never;
    gain = chosen_scale > 0.0F ? gain : never;
    store_lanes(gain, explained.v + h);
    store_lanes(chosen_scale, scale.v + h);
    store_lanes(free_minimum < lowest ? LaneVector{} + lowest : free_minimum, minimum.v + h);
  }
  const int lane = index_of_largest(explained);
  if (!(explained.v[lane] > best.explained)) return;
  best.explained = explained.v[lane];
  best.fit = {.scale = scale.v[lane], .minimum = minimum.v[lane]};
}

// Minimises sum w (scale * code - minimum - x)^2 with minimum >= `lowest`: a pass over four lower
// by four upper ends of the range, then `refinements` passes over scales and minimums around the
// best. `centred`: room for `count`.
inline AffineFit search_affine(const float* x, const float* w, int count,
                               const BlockMoments& moments, float high_code, float lowest,
                               int refinements, float* centred) {
  const float start = -moments.low < lowest ? lowest : -moments.low;
  const float range = moments.high + start;
  if (!(range > 0)) return {.scale = 0, .minimum = start};  // every value is -lowest or below
  const float step = range / high_code;
  ExplainedFit best{.fit = {.scale = step, .minimum = start}, .explained = -1e30F};
  if (!(moments.weight > 0)) return best.fit;
  for (int i = 0; i < count; ++i) centred[i] = x[i] - moments.mean;
  Lanes inverse;
  Lanes minimum;
  AffineSums sums;
  // How far each end moves inwards, in steps; best of a sweep over Gaussian blocks with lognormal
  // importance, 2, 4 and 5 bits.
  const float first = high_code > 7.0F ? -0.8F : -0.3F;
  const float spacing = high_code > 7.0F ? 0.57F : 0.45F;
  for (int l = 0; l < kLanes; ++l) {
    const float lower = first + spacing * static_cast<float>(l % 4);
    const float upper = first + spacing * static_cast<float>(l / 4);
    inverse.v[l] = high_code / (range - (lower + upper) * step);
    minimum.v[l] = start - lower * step + moments.mean;
  }
  affine_sums(centred, w, count, inverse, minimum, high_code, sums);
  improve_affine(sums, moments, lowest, best);
  for (int pass = 0; pass < refinements; ++pass) {
    const float stretch = (pass % 2 == 0 ? 0.6F : 0.3F) / (high_code + 1.0F);
    const float shift = pass % 2 == 0 ? 0.2F : 0.1F;
    const AffineFit fit = best.fit;
    for (int l = 0; l < kLanes; ++l) {
      const float across = static_cast<float>(l % 4) - 1.5F;
      const float down = static_cast<float>(l / 4) - 1.5F;
      inverse.v[l] = 1.0F / (fit.scale * (1.0F + across * stretch));
      minimum.v[l] = fit.minimum + moments.mean + down * shift * fit.scale;
    }
    affine_sums(centred, w, count, inverse, minimum, high_code, sums);
    improve_affine(sums, moments, lowest, best);
  }
  return best.fit;
}

struct StoredAffine {
  unsigned short d = 0;  // binary16
  unsigned short m = 0;  // binary16; value = d * code + m
  unsigned char codes[kMaxBlock] = {};
};

// Codes 0..high_code under a stored scale and minimum; count is 16 or 32.
inline void affine_codes(const float* x, int count, AffineFit fit, float high_code,
                         unsigned char* codes) {
  const float factor = fit.scale == 0.0F ? 0.0F : 1.0F / fit.scale;
  float whole[kMaxBlock];
  for (int i = 0; i < count; i += kVectorLanes) {
    const LaneVector q = (fit.minimum + load_lanes(x + i)) * factor;
    store_lanes(round_lanes(q, 0.0F, high_code), whole + i);
  }
  store_codes(whole, count, codes);
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
  const int best = index_of_smallest(sums.error);
  return {.scale = scale.v[best], .minimum = minimum.v[best]};
}

// One block with a binary16 scale and minimum of its own. `importance` may be null;
// count <= kMaxBlock.
inline StoredAffine encode_affine_block(const float* values, const float* importance, int count,
                                        float high_code) {
  constexpr float kFree = -1e30F;
  constexpr int kRefinements = 1;
  StoredAffine stored;
  alignas(64) float x[kMaxBlock];
  alignas(64) float w[kMaxBlock];
  alignas(64) float centred[kMaxBlock];
  const float unit = prepare_block(values, importance, count, x, w);
  if (unit == 0.0F) return stored;
  const BlockMoments moments = block_moments(x, w, count);
  const AffineFit found =
      search_affine(x, w, count, moments, high_code, kFree, kRefinements, centred);
  const AffineFit fit = settle_affine(x, w, count, high_code, unit, found);
  stored.d = finite_f16_bits(fit.scale * unit);
  stored.m = finite_f16_bits(-fit.minimum * unit);
  affine_codes(x, count, fit, high_code, stored.codes);
  return stored;
}

}  // namespace
}  // namespace quantlane
