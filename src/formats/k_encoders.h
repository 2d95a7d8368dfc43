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
    for (int i = 0; i < 64; ++i) {
      const unsigned char* codes = found.codes + 128 * (i / 32) + i % 32;
      block.qs[i] =
          static_cast<uint8_t>(codes[0] | codes[32] << 2 | codes[64] << 4 | codes[96] << 6);
    }
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
    for (int i = 0; i < kSuperBlock; ++i) {
      const int code = found.codes[i];
      uint8_t& low = block.qs[32 * (i / 128) + i % 32];
      uint8_t& high = block.hmask[i % 32];
      low = static_cast<uint8_t>(low | (code & 3) << (2 * (i % 128 / 32)));
      high = static_cast<uint8_t>(high | (code >> 2) << (i / 32));
    }
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
    for (int i = 0; i < 128; ++i) {
      const unsigned char* codes = found.codes + 64 * (i / 32) + i % 32;
      block.qs[i] = static_cast<uint8_t>(codes[0] | codes[32] << 4);
    }
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
    for (int i = 0; i < 128; ++i) {
      const unsigned char* codes = found.codes + 64 * (i / 32) + i % 32;
      block.qs[i] = static_cast<uint8_t>((codes[0] & 15) | (codes[32] & 15) << 4);
    }
    for (int l = 0; l < 32; ++l) {
      unsigned bits = 0;
      for (int j = 0; j < 8; ++j) bits |= static_cast<unsigned>(found.codes[32 * j + l] >> 4) << j;
      block.qh[l] = static_cast<uint8_t>(bits);
    }
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
    for (int i = 0; i < 64; ++i) {
      const int half = i / 32;
      const int l = i % 32;
      const unsigned char* codes = found.codes + 128 * half + l;
      block.ql[64 * half + l] = static_cast<uint8_t>((codes[0] & 15) | (codes[64] & 15) << 4);
      block.ql[64 * half + 32 + l] = static_cast<uint8_t>((codes[32] & 15) | (codes[96] & 15) << 4);
      block.qh[i] = static_cast<uint8_t>(codes[0] >> 4 | (codes[32] >> 4) << 2 |
                                         (codes[64] >> 4) << 4 | (codes[96] >> 4) << 6);
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
