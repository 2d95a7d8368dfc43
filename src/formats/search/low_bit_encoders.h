// Rows of values to blocks of q1_0, q2_0, tq1_0, tq2_0: one scale, few codes, meant for weights
// that were trained that way, which come out exactly. `importance` may be null, `count` is a
// multiple of the block. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/blocks/q1_0.h"
#include "formats/blocks/q2_0.h"
#include "formats/blocks/tq1_0.h"
#include "formats/blocks/tq2_0.h"
#include "formats/search/symmetric_search.h"

namespace quantlane {
namespace {

constexpr int kMaxLowBitBlock = 256;
constexpr CodeRange kTernaryCodes{.low = -1, .high = 1};
constexpr CodeRange kFourCodes{.low = -1, .high = 2};

// The scale of sixteen that explains most, refined to its least squares: `first` * ratio^l, or
// eight of them, `wide_ratio` apart, with either sign where the range is not symmetric.
inline float best_low_bit_scale(const float* x, const float* w, int count, const CodeRange& codes,
                                float first, float ratio, float wide_ratio) {
  const bool both_signs = codes.low + codes.high != 0.0F;
  const int steps = both_signs ? kLanes / 2 : kLanes;
  Lanes inverse;
  float scale = first;
  for (int l = 0; l < steps; ++l, scale *= both_signs ? wide_ratio : ratio) {
    inverse.v[l] = 1.0F / scale;
    if (both_signs) inverse.v[l + steps] = -1.0F / scale;
  }
  Lanes xq;
  Lanes qq;
  symmetric_sums(x, w, count, inverse, codes, xq, qq);
  return best_explained_scale(xq, qq);
}

// prepare_block, but without importance all values count alike: with two to four codes the root of
// block_weights would raise the scale by a tenth for the sake of the few large values.
inline float prepare_low_bit_block(const float* values, const float* importance, int count,
                                   float* x, float* w) {
  const float unit = prepare_block(values, importance, count, x, w);
  for (int i = 0; importance == nullptr && i < count; ++i) w[i] = 1.0F;
  return unit;
}

struct LowBitBlock {
  unsigned short d = 0;  // binary16
  unsigned char codes[kMaxLowBitBlock];
};

// Scales from a quarter of the largest magnitude up to about all of it, then near the best of
// these.
inline LowBitBlock encode_low_bit_block(const float* values, const float* importance, int count,
                                        const CodeRange& codes) {
  LowBitBlock block;
  alignas(64) float x[kMaxLowBitBlock];
  alignas(64) float w[kMaxLowBitBlock];
  const float unit = prepare_low_bit_block(values, importance, count, x, w);
  float scale = 0;
  if (unit != 0.0F) {
    const float quarter = 0.25F * largest_magnitude(x, count);
    const float coarse = best_low_bit_scale(x, w, count, codes, quarter, 1.1F, 1.22F);
    const float magnitude = coarse < 0 ? -coarse : coarse;
    if (magnitude > 0) {
      const float found = best_low_bit_scale(x, w, count, codes, 0.9F * magnitude, 1.014F, 1.03F);
      scale = settle_symmetric_scale(x, w, count, codes, unit, found);
      block.d = finite_f16_bits(scale * unit);
    }
  }
  for (int i = 0; i < count; i += kMaxBlock) {
    symmetric_codes(x + i, kMaxBlock, scale, codes, block.codes + i);
  }
  return block;
}

inline void encode_q2_0(const float* values, const float* importance, int64_t count, void* blocks) {
  constexpr int kValues = 64;
  for (int64_t b = 0; b * kValues < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kValues;
    const LowBitBlock found =
        encode_low_bit_block(values + b * kValues, weight, kValues, kFourCodes);
    BlockQ2_0 block{.d = found.d, .qs = {}};
    for (int i = 0; i < kValues; ++i) {
      uint8_t& byte = block.qs[i / 4];
      byte = static_cast<uint8_t>(byte | found.codes[i] << (2 * (i % 4)));
    }
    store_block(block, b, blocks);
  }
}

inline void encode_tq2_0(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  constexpr int kValues = 256;
  for (int64_t b = 0; b * kValues < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kValues;
    const LowBitBlock found =
        encode_low_bit_block(values + b * kValues, weight, kValues, kTernaryCodes);
    BlockTq2_0 block{.qs = {}, .d = found.d};
    for (int i = 0; i < kValues; ++i) {
      uint8_t& byte = block.qs[32 * (i / 128) + i % 32];
      byte = static_cast<uint8_t>(byte | found.codes[i] << (2 * (i % 128 / 32)));
    }
    store_block(block, b, blocks);
  }
}

// Trit n of byte m is code n * count + m; the byte is their base-3 fraction, rounded up, of which a
// missing fifth trit is 0.
inline void pack_trits(const unsigned char* codes, int count, int trits, uint8_t* bytes) {
  for (int m = 0; m < count; ++m) {
    int number = 0;
    for (int n = 0; n < 5; ++n) number = 3 * number + (n < trits ? codes[n * count + m] : 0);
    bytes[m] = static_cast<uint8_t>((256 * number + 242) / 243);
  }
}

inline void encode_tq1_0(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  constexpr int kValues = 256;
  for (int64_t b = 0; b * kValues < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kValues;
    const LowBitBlock found =
        encode_low_bit_block(values + b * kValues, weight, kValues, kTernaryCodes);
    BlockTq1_0 block{.qs = {}, .qh = {}, .d = found.d};
    pack_trits(found.codes, 32, 5, block.qs);
    pack_trits(found.codes + 160, 16, 5, block.qs + 32);
    pack_trits(found.codes + 240, 4, 4, block.qh);
    store_block(block, b, blocks);
  }
}

// +-d: the weighted mean of the magnitudes is the least-squares d.
inline void encode_q1_0(const float* values, const float* importance, int64_t count, void* blocks) {
  constexpr int kValues = 128;
  for (int64_t b = 0; b * kValues < count; ++b) {
    alignas(64) float x[kValues];
    alignas(64) float w[kValues];
    const float* weight = importance == nullptr ? nullptr : importance + b * kValues;
    const float unit = prepare_low_bit_block(values + b * kValues, weight, kValues, x, w);
    BlockQ1_0 block{.d = 0, .qs = {}};
    for (int i = 0; unit != 0.0F && i < kValues; ++i) {
      uint8_t& byte = block.qs[i / 8];
      byte = static_cast<uint8_t>(byte | (x[i] < 0 ? 0 : 1) << (i % 8));
      x[i] = x[i] < 0 ? -x[i] : x[i];
    }
    if (unit != 0.0F) {
      const WeightedSums sums = weighted_sums(x, w, kValues);
      block.d = finite_f16_bits(sums.moment / sums.weight * unit);
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
