// iq4_xs (ggml id 23): 256 values in 136 bytes = f16 d, u16 scales_h, scales_l[4], 128 bytes of
// nibbles; value = d * (scale - 32) * T[nibble] for each 32 values, table of iq4_nl. Scale j: low
// nibble in scales_l[j / 2] (low for even j), bits 4-5 in scales_h at shift 2 j. Nibbles: per 32
// values 16 bytes as in q4_0. docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq4Xs {
  std::uint16_t d;  // binary16
  std::uint16_t scales_h;
  std::uint8_t scales_l[4];
  std::uint8_t qs[128];
};
static_assert(sizeof(BlockIq4Xs) == 136);

extern const BlockFormat kIq4Xs;

}  // namespace quantlane
