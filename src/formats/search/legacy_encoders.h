// Rows of values to blocks of q4_0, q4_1, q5_0, q5_1, q8_0. `importance` may be null, `count` is a
// multiple of 32. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/blocks/q4_0.h"
#include "formats/blocks/q4_1.h"
#include "formats/blocks/q5_0.h"
#include "formats/blocks/q5_1.h"
#include "formats/blocks/q8_0.h"
#include "formats/fifth_bits.h"
#include "formats/search/affine_search.h"
#include "formats/search/blocks_abreast.h"

namespace quantlane {
namespace {

// q4_0 and q5_0: one scale, codes around 0. A Block with `qh` keeps a fifth bit of each code there.
template <class Block>
inline void encode_symmetric_blocks(const float* values, const float* importance, int64_t count,
                                    const CodeRange& codes, void* blocks) {
  for (int64_t first = 0; first * kMaxBlock < count; first += kAbreast) {
    const int here = blocks_abreast(count, first);
    const StoredAbreast stored = encode_abreast(values, importance, first, here, codes);
    int words[4][kVectorLanes];
    pack_nibbles_abreast(stored.codes, words);
    constexpr bool kHasFifth = requires(Block block) { block.qh; };
    int fifth[kVectorLanes];
    if constexpr (kHasFifth) pack_fifth_bits_abreast(stored.codes, fifth);
    for (int b = 0; b < here; ++b) {
      Block block{};
      block.d = stored.d[b];
      if constexpr (kHasFifth) __builtin_memcpy(block.qh, &fifth[b], 4);
      for (int k = 0; k < 4; ++k) __builtin_memcpy(block.qs + 4 * k, &words[k][b], 4);
      store_block(block, first + b, blocks);
    }
  }
}

constexpr CodeRange kCodesQ40{.low = -8, .high = 7};
constexpr CodeRange kCodesQ50{.low = -16, .high = 15};

inline void encode_q4_0(const float* values, const float* importance, int64_t count, void* blocks) {
  encode_symmetric_blocks<BlockQ4_0>(values, importance, count, kCodesQ40, blocks);
}
inline void encode_q5_0(const float* values, const float* importance, int64_t count, void* blocks) {
  encode_symmetric_blocks<BlockQ5_0>(values, importance, count, kCodesQ50, blocks);
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

// As ggml's reference: d = amax / 127, codes by the unrounded d, halves away from zero; so files
// equal those of llama-quantize, which ignores importance here. Deviates only where amax / 127 has
// no finite binary16: d stays finite and codes saturate.
inline void encode_q8_0(const float* values, const float* /*importance*/, int64_t count,
                        void* blocks) {
  for (int64_t b = 0; b * kMaxBlock < count; ++b) {
    const float* source = values + b * kMaxBlock;
    float d = largest_magnitude(source, kMaxBlock) / 127.0F;
    BlockQ8_0 block{.d = finite_f16_bits(d), .qs = {}};
    if (d >= 65520.0F) d = f16_value(block.d);
    const float inverse = d != 0.0F ? 1.0F / d : 0.0F;
    if (inverse < __builtin_inff()) {
      int codes[kMaxBlock];
      for (int i = 0; i < kMaxBlock; i += kVectorLanes) {
        const LaneVector value = clamp_lanes(load_lanes(source + i) * inverse,
                                             LaneVector{} - 127.0F, LaneVector{} + 127.0F);
        IntLanes code = __builtin_convertvector(value, IntLanes);  // towards zero
        const LaneVector rest = value - __builtin_convertvector(code, LaneVector);
        code = code - (rest >= 0.5F) + (rest <= -0.5F);  // a comparison gives -1 where it holds
        __builtin_memcpy(codes + i, &code, sizeof code);
      }
      for (int i = 0; i < kMaxBlock; ++i) block.qs[i] = static_cast<int8_t>(codes[i]);
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
