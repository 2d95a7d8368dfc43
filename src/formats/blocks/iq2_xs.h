// iq2_xs (ggml id 17): 256 values in 74 bytes = f16 d, u16 qs[32], scales[8]; value = d * (0.5 +
// scale) / 4 * level * sign. Per 8 values: bits 0-8 of a word name one of 512 points of 8 levels
// (kGridIq2Xs), bits 9-15 are a sign code, whose eighth sign makes the number of negatives even. A
// scale nibble per 16 values, low one first. docs/formats/i-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq2Xs {
  std::uint16_t d;  // binary16
  std::uint16_t qs[32];
  std::uint8_t scales[8];
};
static_assert(sizeof(BlockIq2Xs) == 74);

extern const BlockFormat kIq2Xs;

}  // namespace quantlane
