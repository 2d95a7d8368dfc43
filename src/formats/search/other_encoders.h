// Rows of values to blocks of iq4_nl, iq4_xs, mxfp4, nvfp4. `importance` may be null, `count` is a
// multiple of the block. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/blocks/iq4_nl.h"
#include "formats/blocks/iq4_xs.h"
#include "formats/blocks/mxfp4.h"
#include "formats/blocks/nvfp4.h"
#include "formats/code_planes.h"
#include "formats/fp4_and_nl_codes.h"
#include "formats/search/symmetric_superblock.h"

namespace quantlane {
namespace {

inline void encode_iq4_nl(const float* values, const float* importance, int64_t count,
                          void* blocks) {
  for (int64_t b = 0; b * 32 < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * 32;
    const StoredSymmetric stored =
        encode_symmetric_block(values + b * 32, weight, 32, NonLinearCodes{});
    BlockIq4Nl block{.d = stored.d, .qs = {}};
    pack_nibbles(stored.codes, 16, block.qs);
    store_block(block, b, blocks);
  }
}

constexpr SymmetricLayout<NonLinearCodes> kLayoutIq4Xs{.sub_blocks = 8,
                                                       .codes = {},
                                                       .scales = {.low = -32, .high = 31},
                                                       .rounds = 2,
                                                       .from_extremes = false};

inline void encode_iq4_xs(const float* values, const float* importance, int64_t count,
                          void* blocks) {
  for (int64_t b = 0; b * kSuperBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kSuperBlock;
    const SymmetricSuperBlock found =
        encode_symmetric_superblock(values + b * kSuperBlock, weight, kLayoutIq4Xs);
    BlockIq4Xs block{.d = found.d, .scales_h = 0, .scales_l = {}, .qs = {}};
    for (int j = 0; j < 8; ++j) {
      const int scale = found.scales[j] + 32;
      uint8_t& low = block.scales_l[j / 2];
      low = static_cast<uint8_t>(low | (scale & 15) << (4 * (j % 2)));
      block.scales_h = static_cast<uint16_t>(block.scales_h | (scale >> 4) << (2 * j));
      pack_nibbles(found.codes + 32 * j, 16, block.qs + 16 * j);
    }
    store_block(block, b, blocks);
  }
}

// The power of two with the least weighted error; llama.cpp takes the one that reaches amax.
inline void encode_mxfp4(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  // 12 half steps of 2^124 are the largest finite value.
  constexpr unsigned kHighestExponent = 252;
  for (int64_t b = 0; b * 32 < count; ++b) {
    alignas(64) float x[32] = {};
    alignas(64) float w[32];
    const float* weight = importance == nullptr ? nullptr : importance + b * 32;
    const float unit = prepare_block(values + b * 32, weight, 32, x, w);
    BlockMxfp4 block{.e = 0, .qs = {}};
    float step = 0;
    if (unit != 0.0F) {
      // Largest magnitude in [1, 2): 12 * 2^-3 reaches 1.5, 12 * 2^-2 more than all.
      Lanes scale;
      Lanes error;
      Lanes xq;
      Lanes qq;
      for (int l = 0; l < kLanes; ++l) scale.v[l] = 0.25F / static_cast<float>(1 << l % 4);
      symmetric_errors(x, w, 32, scale, Fp4Codes{}, error, xq, qq);
      step = scale.v[index_of_smallest(error)];
      // bits >> 23 = exponent + 127, and e = exponent + 128.
      unsigned e = (bits_of_float(step * unit) >> 23) + 1;
      e = e < kHighestExponent ? e : kHighestExponent;
      block.e = static_cast<uint8_t>(e);
      step = float_of_bits((e - 1) << 23) * inverse_power_of_two(unit);
    }
    unsigned char codes[32];
    symmetric_codes(x, 32, step, Fp4Codes{}, codes);
    pack_nibbles(codes, 16, block.qs);
    store_block(block, b, blocks);
  }
}

// Half of the unsigned E4M3 value, as the codes of Fp4Codes are counted in halves.
inline float half_of_positive_e4m3(int code) {
  const int exponent = code >> 3;
  const auto mantissa = static_cast<float>(code & 7);
  if (exponent == 0) return mantissa * 0x1p-10F;
  return float_of_bits(static_cast<unsigned>(exponent + 119) << 23) * (1.0F + mantissa * 0.125F);
}

// Smallest code 1..126 whose half value is at least `scale`, or 126.
inline int e4m3_code_above(float scale) {
  int low = 1;
  int high = 126;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (half_of_positive_e4m3(middle) < scale) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Sixteen neighbouring scale codes around the one that reaches the largest magnitude.
inline void encode_nvfp4(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  for (int64_t b = 0; b * 64 < count; ++b) {
    BlockNvfp4 block{.d = {}, .qs = {}};
    for (int j = 0; j < 4; ++j) {
      alignas(64) float x[16] = {};
      alignas(64) float w[16];
      const int64_t first = b * 64 + j * 16;
      const float* weight = importance == nullptr ? nullptr : importance + first;
      const float unit = prepare_block(values + first, weight, 16, x, w);
      float step = 0;
      if (unit != 0.0F) {
        const int reach = e4m3_code_above(largest_magnitude(x, 16) * unit / 12.0F);
        Lanes scale;
        Lanes error;
        Lanes xq;
        Lanes qq;
        int code[kLanes];
        for (int l = 0; l < kLanes; ++l) {
          const int candidate = reach - 9 + l;
          code[l] = candidate < 1 ? 1 : candidate > 126 ? 126 : candidate;
          scale.v[l] = half_of_positive_e4m3(code[l]) * inverse_power_of_two(unit);
        }
        symmetric_errors(x, w, 16, scale, Fp4Codes{}, error, xq, qq);
        const int best = index_of_smallest(error);
        step = scale.v[best];
        block.d[j] = static_cast<uint8_t>(code[best]);
      }
      unsigned char codes[16];
      symmetric_codes(x, 16, step, Fp4Codes{}, codes);
      pack_nibbles(codes, 8, block.qs + 8 * j);
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
