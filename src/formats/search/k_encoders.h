// Rows of values to super-blocks of q2_k, q3_k, q4_k, q5_k, q6_k. `importance` may be null, `count`
// is a multiple of 256. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/blocks/q2_k.h"
#include "formats/blocks/q3_k.h"
#include "formats/blocks/q4_k.h"
#include "formats/blocks/q5_k.h"
#include "formats/blocks/q6_k.h"
#include "formats/code_planes.h"
#include "formats/scale_pairs.h"
#include "formats/search/affine_superblock.h"

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
    pack_two_bits(found.codes, block.qs);
    store_block(block, b, blocks);
  }
}

constexpr SymmetricLayout<CodeRange> kLayoutQ3K{.sub_blocks = 16,
                                                .codes = {.low = -4, .high = 3},
                                                .scales = {.low = -32, .high = 31},
                                                .rounds = 2,
                                                .from_extremes = false};

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
                                                .rounds = 2,
                                                .from_extremes = true};

inline void encode_q6_k(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kSuperBlock < count; ++b) {
    const float* source = values + b * kSuperBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kSuperBlock;
    const SymmetricSuperBlock found = encode_symmetric_superblock(source, weight, kLayoutQ6K);
    BlockQ6K block{.ql = {}, .qh = {}, .scales = {}, .d = found.d};
    for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(found.scales[j]);
    pack_six_bits(found.codes, block.ql, block.qh);
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
