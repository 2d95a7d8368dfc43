// q5_k (ggml id 13): 256 values in 176 bytes = f16 d, f16 dmin, 12 bytes of eight 6-bit
// (scale, minimum) pairs, 32 bytes qh, 128 bytes of nibbles; value = d * scale * code - dmin *
// minimum for each 32 values. Nibbles as in q4_k; bit j of qh[l] is bit 4 of value l of the j-th 32
// values. docs/formats/k-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ5K {
  std::uint16_t d;  // binary16
  std::uint16_t dmin;
  std::uint8_t scales[12];  // scale_pairs.h
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};
static_assert(sizeof(BlockQ5K) == 176);

extern const BlockFormat kQ5K;

}  // namespace quantlane
