// Rows of values to super-blocks of q2_k, q3_k, q4_k, q5_k, q6_k. `importance` may be null, `count`
// is a multiple of 256. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/affine_superblock.h"
#include "formats/q2_k.h"
#include "formats/q3_k.h"
#include "formats/q4_k.h"
#include "formats/q5_k.h"
#include "formats/q6_k.h"
#include "formats/scale_pairs.h"

namespace quantlane {
namespace {

// Bits 0-1 of 256 codes: per 128 codes 32 bytes, code 32 p + l in byte l at shift 2 p.
inline void pack_two_bits(const unsigned char* codes, uint8_t* qs) {
  for (int half = 0; half < 2; ++half, codes += 128, qs += 32) {
    for (int l = 0; l < 32; ++l) {
      qs[l] = static_cast<uint8_t>((codes[l] & 3) | (codes[l + 32] & 3) << 2 |
                                   (codes[l + 64] & 3) << 4 | (codes[l + 96] & 3) << 6);
    }
  }
}

// Bits 0-3 of 256 codes: per 64 codes 32 bytes, the low nibble of byte l is code l.
inline void pack_four_bits(const unsigned char* codes, uint8_t* qs) {
  for (int pair = 0; pair < 4; ++pair, codes += 64, qs += 32) {
    for (int l = 0; l < 32; ++l) {
      qs[l] = static_cast<uint8_t>((codes[l] & 15) | (codes[l + 32] & 15) << 4);
    }
  }
}

// The highest bit, `kShift`, of 256 codes: bit p of byte l is that of code 32 p + l.
template <int kShift>
inline void pack_bit_planes(const unsigned char* codes, uint8_t* bytes) {
  for (int p = 0; p < 8; ++p) {
    for (int l = 0; l < 32; ++l) {
      bytes[l] = static_cast<uint8_t>(bytes[l] | (codes[32 * p + l] >> kShift) << p);
    }
  }
}

constexpr AffineLayout kLayoutQ2K{
    .sub_blocks = 16, .high_code = 3, .high_scale = 15, .refinements = 2, .rounds = 3};

inline void encode_q2_k(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kSuperBlock < count; ++b) {
    const float* source = values + b * kSuperBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kSuperBlock;
    const AffineSuperBlock found = encode_affine_superblock(source, weight, kLayoutQ2K);
    BlockQ2K block{.scales = {}, .qs = {}, .d = found.d, .dmin = found.dmin};
    for (int j = 0; j < 16; ++j) {
      block.scales[j] = static_cast<uint8_t>(found.scales[j] | found.minimums[j] << 4);
    }
    pack_two_bits(found.codes, block.qs);
    store_block(block, b, blocks);
  }
}

constexpr SymmetricLayout<CodeRange> kLayoutQ3K{.sub_blocks = 16,
                                                .codes = {.low = -4, .high = 3},
                                                .scales = {.low = -32, .high = 31},
                                                .rounds = 2};

inline void put_q3_k_scale(BlockQ3K& block, int j, int scale) {
  uint8_t& nibbles = block.scales[j % 8];
  uint8_t& high = block.scales[8 + j % 4];
  nibbles = static_cast<uint8_t>(nibbles | (scale & 15) << (j < 8 ? 0 : 4));
  high = static_cast<uint8_t>(high | (scale >> 4) << (2 * (j / 4)));
}

inline void encode_q3_k(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kSuperBlock < count; ++b) {
    const float* source = values + b * kSuperBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kSuperBlock;
    const SymmetricSuperBlock found = encode_symmetric_superblock(source, weight, kLayoutQ3K);
    BlockQ3K block{.hmask = {}, .qs = {}, .scales = {}, .d = found.d};
    for (int j = 0; j < 16; ++j) put_q3_k_scale(block, j, found.scales[j] + 32);
    pack_two_bits(found.codes, block.qs);
    pack_bit_planes<2>(found.codes, block.hmask);
    store_block(block, b, blocks);
  }
}

constexpr AffineLayout kLayoutQ4K{
    .sub_blocks = 8, .high_code = 15, .high_scale = 63, .refinements = 1, .rounds = 2};

inline void encode_q4_k(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kSuperBlock < count; ++b) {
    const float* source = values + b * kSuperBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kSuperBlock;
    const AffineSuperBlock found = encode_affine_superblock(source, weight, kLayoutQ4K);
    BlockQ4K block{.d = found.d, .dmin = found.dmin, .scales = {}, .qs = {}};
    for (int j = 0; j < 8; ++j) {
      put_scale_pair(block.scales, j, {.scale = found.scales[j], .minimum = found.minimums[j]});
    }
    pack_four_bits(found.codes, block.qs);
    store_block(block, b, blocks);
  }
}

constexpr AffineLayout kLayoutQ5K{
    .sub_blocks = 8, .high_code = 31, .high_scale = 63, .refinements = 1, .rounds = 2};

inline void encode_q5_k(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kSuperBlock < count; ++b) {
    const float* source = values + b * kSuperBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kSuperBlock;
    const AffineSuperBlock found = encode_affine_superblock(source, weight, kLayoutQ5K);
    BlockQ5K block{.d = found.d, .dmin = found.dmin, .scales = {}, .qh = {}, .qs = {}};
    for (int j = 0; j < 8; ++j) {
      put_scale_pair(block.scales, j, {.scale = found.scales[j], .minimum = found.minimums[j]});
    }
    pack_four_bits(found.codes, block.qs);
    pack_bit_planes<4>(found.codes, block.qh);
    store_block(block, b, blocks);
  }
}

constexpr SymmetricLayout<CodeRange> kLayoutQ6K{.sub_blocks = 16,
                                                .codes = {.low = -32, .high = 31},
                                                .scales = {.low = -128, .high = 127},
                                                .rounds = 2};

inline void encode_q6_k(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kSuperBlock < count; ++b) {
    const float* source = values + b * kSuperBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kSuperBlock;
    const SymmetricSuperBlock found = encode_symmetric_superblock(source, weight, kLayoutQ6K);
    BlockQ6K block{.ql = {}, .qh = {}, .scales = {}, .d = found.d};
    for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(found.scales[j]);
    for (int half = 0; half < 2; ++half) {
      const unsigned char* codes = found.codes + 128 * half;
      uint8_t* low = block.ql + 64 * half;
      uint8_t* high = block.qh + 32 * half;
      for (int l = 0; l < 64; ++l) {
        low[l] = static_cast<uint8_t>((codes[l] & 15) | (codes[l + 64] & 15) << 4);
      }
      for (int l = 0; l < 32; ++l) {
        high[l] = static_cast<uint8_t>(codes[l] >> 4 | (codes[l + 32] >> 4) << 2 |
                                       (codes[l + 64] >> 4) << 4 | (codes[l + 96] >> 4) << 6);
      }
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
