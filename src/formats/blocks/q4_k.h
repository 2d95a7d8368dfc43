// q4_k (ggml id 12): 256 values in 144 bytes = f16 d, f16 dmin, 12 bytes of eight 6-bit
// (scale, minimum) pairs, 128 bytes of nibbles; value = d * scale * code - dmin * minimum for each
// 32 values. Nibbles: per 64 values 32 bytes, low nibble = first 32. docs/formats/k-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ4K {
  std::uint16_t d;  // binary16
  std::uint16_t dmin;
  std::uint8_t scales[12];  // scale_pairs.h
  std::uint8_t qs[128];
};
static_assert(sizeof(BlockQ4K) == 144);

extern const BlockFormat kQ4K;

}  // namespace quantlane
