// Joint search for super-blocks of 256 values = d * scale_j * code - dmin * min_j: two binary16
// factors and two small unsigned integers per sub-block (q2_k, q4_k, q5_k).
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/search/affine_search.h"
#include "formats/search/symmetric_superblock.h"

namespace quantlane {
namespace {

struct AffineLayout {
  int sub_blocks;
  float high_code;
  float high_scale;  // of the integer scales and minimums
  int refinements;   // of the search in each sub-block
  int rounds;        // of alternating between the integers and (d, dmin)
};

struct AffineSuperBlock {
  unsigned short d = 0;  // binary16
  unsigned short dmin = 0;
  int scales[kMaxSubBlocks] = {};
  int minimums[kMaxSubBlocks] = {};
  unsigned char codes[kSuperBlock] = {};
};

struct AffineFactors {
  float d = 0;
  float dmin = 0;
};

struct AffineRound {
  float error = 0;
  // Normal equations of (d, dmin) for the chosen integers and codes.
  float scale_scale = 0;
  float scale_min = 0;
  float min_min = 0;
  float scale_x = 0;
  float min_x = 0;
  float scales[kMaxSubBlocks] = {};
  float minimums[kMaxSubBlocks] = {};
};

// First of four neighbouring integers around `real`, all within 0..high.
inline float first_of_four(float real, float high) {
  float first = (real - 1.5F + kRoundMagic) - kRoundMagic;
  first = first < high - 3.0F ? first : high - 3.0F;
  return 0.0F < first ? first : 0.0F;
}

inline AffineRound choose_affine_integers(const float* x, const float* w,
                                          const AffineLayout& layout, const AffineFit* found,
                                          const BlockMoments* moments, AffineFactors factors) {
  AffineRound round;
  const int length = kSuperBlock / layout.sub_blocks;
  for (int j = 0; j < layout.sub_blocks; ++j) {
    const float scale_first =
        first_of_four(factors.d > 0 ? found[j].scale / factors.d : 0.0F, layout.high_scale);
    const float min_first =
        first_of_four(factors.dmin > 0 ? found[j].minimum / factors.dmin : 0.0F, layout.high_scale);
    Lanes scale;
    Lanes minimum;
    for (int l = 0; l < kLanes; ++l) {
      scale.v[l] = factors.d * (scale_first + static_cast<float>(l % 4));
      minimum.v[l] = factors.dmin * (min_first + static_cast<float>(l / 4));
    }
    AffineSums sums;
    affine_errors(x + j * length, w + j * length, length, scale, minimum, layout.high_code, sums);
    const int best = index_of_smallest(sums.error);
    const float integer_scale = scale_first + static_cast<float>(best % 4);
    const float integer_min = min_first + static_cast<float>(best / 4);
    round.scales[j] = integer_scale;
    round.minimums[j] = integer_min;
    round.error += sums.error.v[best];
    round.scale_scale += integer_scale * integer_scale * sums.qq.v[best];
    round.scale_min += integer_scale * integer_min * sums.q.v[best];
    round.min_min += integer_min * integer_min * moments[j].weight;
    round.scale_x += integer_scale * sums.xq.v[best];
    round.min_x += integer_min * moments[j].weight * moments[j].mean;
  }
  return round;
}

// The least-squares (d, dmin) of a round, not negative.
inline AffineFactors solve_factors(const AffineRound& round, AffineFactors previous) {
  const float determinant = round.scale_scale * round.min_min - round.scale_min * round.scale_min;
  AffineFactors next = previous;
  if (determinant > 1e-6F * round.scale_scale * round.min_min) {
    next.d = (round.scale_x * round.min_min - round.min_x * round.scale_min) / determinant;
    next.dmin = (next.d * round.scale_min - round.min_x) / round.min_min;
  } else if (round.scale_scale > 0) {
    next.d = (round.scale_x + previous.dmin * round.scale_min) / round.scale_scale;
  }
  if (!(next.d > 0)) next.d = previous.d;
  if (!(next.dmin > 0)) next.dmin = previous.dmin;
  return next;
}

inline AffineFactors round_factors(AffineFactors factors, float unit) {
  return {.d = round_scale(factors.d, unit), .dmin = round_scale(factors.dmin, unit)};
}

// `importance` may be null. Deterministic; any finite input gives finite output.
inline AffineSuperBlock encode_affine_superblock(const float* values, const float* importance,
                                                 const AffineLayout& layout) {
  AffineSuperBlock block;
  alignas(64) float x[kSuperBlock];
  alignas(64) float w[kSuperBlock];
  const float unit = prepare_block(values, importance, kSuperBlock, x, w);
  if (unit == 0.0F) return block;
  const int length = kSuperBlock / layout.sub_blocks;
  alignas(64) float centred[kSuperBlock];
  AffineFit found[kMaxSubBlocks];
  BlockMoments moments[kMaxSubBlocks];
  AffineFactors factors;
  for (int j = 0; j < layout.sub_blocks; ++j) {
    moments[j] = block_moments(x + j * length, w + j * length, length);
    found[j] = search_affine(x + j * length, w + j * length, length, moments[j], layout.high_code,
                             0.0F, layout.refinements, centred);
    factors.d = factors.d < found[j].scale ? found[j].scale : factors.d;
    factors.dmin = factors.dmin < found[j].minimum ? found[j].minimum : factors.dmin;
  }
  factors.d = round_scale_up(factors.d / layout.high_scale, unit);
  factors.dmin = round_scale_up(factors.dmin / layout.high_scale, unit);
  AffineFactors best_factors;
  AffineRound best;
  for (int r = 0; r < layout.rounds; ++r) {
    const AffineRound round = choose_affine_integers(x, w, layout, found, moments, factors);
    if (r == 0 || round.error < best.error) {
      best = round;
      best_factors = factors;
    }
    const AffineFactors next = round_factors(solve_factors(round, factors), unit);
    if (next.d == factors.d && next.dmin == factors.dmin) break;
    factors = next;
  }
  block.d = finite_f16_bits(best_factors.d * unit);
  block.dmin = finite_f16_bits(best_factors.dmin * unit);
  for (int j = 0; j < layout.sub_blocks; ++j) {
    block.scales[j] = static_cast<int>(best.scales[j]);
    block.minimums[j] = static_cast<int>(best.minimums[j]);
    const AffineFit fit{.scale = best_factors.d * best.scales[j],
                        .minimum = best_factors.dmin * best.minimums[j]};
    affine_codes(x + j * length, length, fit, layout.high_code, block.codes + j * length);
  }
  return block;
}

}  // namespace
}  // namespace quantlane
