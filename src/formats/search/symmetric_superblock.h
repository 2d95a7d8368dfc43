// Joint search for super-blocks of 256 values = d * scale_j * code: one binary16 d, one small
// signed integer scale per sub-block (q3_k, q6_k). Internal linkage for the reason given in
// lanes.h.
#pragma once
#include "formats/search/symmetric_search.h"

namespace quantlane {
namespace {

constexpr int kSuperBlock = 256;
constexpr int kMaxSubBlocks = 16;
// How much larger than the scale that clips nothing a scale may get.
constexpr float kRoomAboveExtremes = 1.08F;

template <class Codes>
struct SymmetricLayout {
  int sub_blocks;
  Codes codes;
  CodeRange scales;
  int rounds;  // of alternating between the integer scales and d
  // With many codes the best scale lies so near the one that takes the value of largest magnitude
  // to code `low` that the integer scales around it need no search before.
  bool from_extremes;
};

struct SymmetricSuperBlock {
  unsigned short d = 0;  // binary16
  int scales[kMaxSubBlocks] = {};
  unsigned char codes[kSuperBlock] = {};  // from 0
};

struct SymmetricRound {
  float error = 0;      // less what codes of 0 would have
  float numerator = 0;  // of the least-squares d
  float denominator = 0;
  float scales[kMaxSubBlocks] = {};
};

// Best integer scale of every sub-block near found_j / d.
template <class Codes>
inline SymmetricRound choose_symmetric_scales(const float* x, const float* w,
                                              const SymmetricLayout<Codes>& layout,
                                              const float* found, float d) {
  SymmetricRound round;
  const int length = kSuperBlock / layout.sub_blocks;
  for (int j = 0; j < layout.sub_blocks; ++j) {
    float centre = found[j] / d;
    centre = centre < layout.scales.high ? centre : layout.scales.high;
    centre = layout.scales.low < centre ? centre : layout.scales.low;
    centre = (centre + kRoundMagic) - kRoundMagic;
    Lanes inverse;
    Lanes integer;
    Lanes error;
    Lanes xq;
    Lanes qq;
    for (int l = 0; l < kLanes; ++l) {
      float candidate = centre + static_cast<float>(l - kLanes / 2);
      candidate = candidate < layout.scales.high ? candidate : layout.scales.high;
      candidate = layout.scales.low < candidate ? candidate : layout.scales.low;
      integer.v[l] = candidate;
      const float scale = d * candidate;
      inverse.v[l] = scale == 0.0F ? 0.0F : 1.0F / scale;
    }
    symmetric_sums(x + j * length, w + j * length, length, inverse, layout.codes, xq, qq);
    for (int l = 0; l < kLanes; ++l) {
      const float scale = d * integer.v[l];
      error.v[l] = scale * (scale * qq.v[l] - 2.0F * xq.v[l]);
    }
    const int best = index_of_smallest(error);
    const float chosen = integer.v[best];
    round.scales[j] = chosen;
    round.error += error.v[best];
    round.numerator += chosen * xq.v[best];
    round.denominator += chosen * chosen * qq.v[best];
  }
  return round;
}

// `importance` may be null. Deterministic; any finite input gives finite output.
template <class Codes>
inline SymmetricSuperBlock encode_symmetric_superblock(const float* values, const float* importance,
                                                       const SymmetricLayout<Codes>& layout) {
  SymmetricSuperBlock block;
  alignas(64) float x[kSuperBlock];
  alignas(64) float w[kSuperBlock];
  const float unit = prepare_block(values, importance, kSuperBlock, x, w);
  if (unit == 0.0F) {
    for (unsigned char& code : block.codes)
      code = static_cast<unsigned char>(nearest_index(0.0F, layout.codes));
    return block;
  }
  const int length = kSuperBlock / layout.sub_blocks;
  float found[kMaxSubBlocks];
  float largest = 0;
  for (int j = 0; j < layout.sub_blocks; ++j) {
    const float* part = x + j * length;
    found[j] = layout.from_extremes
                   ? extreme_value(part, length) / lowest_code(layout.codes)
                   : search_symmetric_scale(part, w + j * length, length, layout.codes);
    const float magnitude = found[j] < 0 ? -found[j] : found[j];
    largest = largest < magnitude ? magnitude : largest;
  }
  const float room = layout.from_extremes ? kRoomAboveExtremes : 1.0F;
  float d = round_scale_up(largest * room / layout.scales.high, unit);
  float best_d = 0;
  SymmetricRound best;
  for (int r = 0; r < layout.rounds; ++r) {
    const SymmetricRound round = choose_symmetric_scales(x, w, layout, found, d);
    if (r == 0 || round.error < best.error) {
      best = round;
      best_d = d;
    }
    if (!(round.denominator > 0)) break;
    const float next = round_scale(round.numerator / round.denominator, unit);
    if (next == d || next == 0.0F) break;
    d = next;
  }
  block.d = finite_f16_bits(best_d * unit);
  for (int j = 0; j < layout.sub_blocks; ++j) {
    block.scales[j] = static_cast<int>(best.scales[j]);
    symmetric_codes(x + j * length, length, best_d * best.scales[j], layout.codes,
                    block.codes + j * length);
  }
  return block;
}

}  // namespace
}  // namespace quantlane
