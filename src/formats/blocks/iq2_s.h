// iq2_s (ggml id 22): 256 values in 82 bytes = f16 d, qs[32], signs[32], qh[8], scales[8]; value =
// d * (0.5 + scale) / 4 * level * sign. Per 8 values: a byte of qs and 2 bits of qh (byte g / 4 at
// shift 2 (g % 4)) name one of 1024 points of 8 levels (kGridIq2S), a byte has the signs. A scale
// nibble per 16 values, low one first. docs/formats/i-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq2S {
  std::uint16_t d;  // binary16
  std::uint8_t qs[32];
  std::uint8_t signs[32];
  std::uint8_t qh[8];
  std::uint8_t scales[8];
};
static_assert(sizeof(BlockIq2S) == 82);

extern const BlockFormat kIq2S;

}  // namespace quantlane
