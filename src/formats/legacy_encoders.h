// Rows of values to blocks of q4_0, q4_1, q5_0, q5_1. `importance` may be null, `count` is a
// multiple of 32. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/affine_search.h"
#include "formats/fifth_bits.h"
#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q5_0.h"
#include "formats/q5_1.h"

namespace quantlane {
namespace {

constexpr CodeRange kCodesQ40{.low = -8, .high = 7};

inline void encode_q4_0(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kMaxBlock < count; ++b) {
    const float* source = values + b * kMaxBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kMaxBlock;
    const StoredSymmetric stored = encode_symmetric_block(source, weight, kMaxBlock, kCodesQ40);
    BlockQ4_0 block{.d = stored.d, .qs = {}};
    for (int j = 0; j < 16; ++j) {
      block.qs[j] = static_cast<uint8_t>(stored.codes[j] | stored.codes[j + 16] << 4);
    }
    store_block(block, b, blocks);
  }
}

constexpr float kHighCodeQ41 = 15;

inline void encode_q4_1(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kMaxBlock < count; ++b) {
    const float* source = values + b * kMaxBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kMaxBlock;
    const StoredAffine stored = encode_affine_block(source, weight, kMaxBlock, kHighCodeQ41);
    BlockQ4_1 block{.d = stored.d, .m = stored.m, .qs = {}};
    for (int j = 0; j < 16; ++j) {
      block.qs[j] = static_cast<uint8_t>(stored.codes[j] | stored.codes[j + 16] << 4);
    }
    store_block(block, b, blocks);
  }
}

constexpr CodeRange kCodesQ50{.low = -16, .high = 15};

inline void encode_q5_0(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kMaxBlock < count; ++b) {
    const float* source = values + b * kMaxBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kMaxBlock;
    const StoredSymmetric stored = encode_symmetric_block(source, weight, kMaxBlock, kCodesQ50);
    BlockQ5_0 block{.d = stored.d, .qh = {}, .qs = {}};
    pack_five_bits(stored.codes, block.qh, block.qs);
    store_block(block, b, blocks);
  }
}

constexpr float kHighCodeQ51 = 31;

inline void encode_q5_1(const float* values, const float* importance, int64_t count, void* blocks) {
  for (int64_t b = 0; b * kMaxBlock < count; ++b) {
    const float* source = values + b * kMaxBlock;
    const float* weight = importance == nullptr ? nullptr : importance + b * kMaxBlock;
    const StoredAffine stored = encode_affine_block(source, weight, kMaxBlock, kHighCodeQ51);
    BlockQ5_1 block{.d = stored.d, .m = stored.m, .qh = {}, .qs = {}};
    pack_five_bits(stored.codes, block.qh, block.qs);
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
