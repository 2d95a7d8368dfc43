// iq2_xxs (ggml id 16): 256 values in 66 bytes = f16 d, 8 x (4 index bytes, u32); value = d * (0.5
// + scale) / 4 * level * sign. Per 32 values: each index byte names one of 256 points of 8 levels
// (kGridIq2Xxs); the word has four 7-bit sign codes from the low end, whose eighth sign makes the
// number of negatives even, and the scale in its top 4 bits. docs/formats/i-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq2Xxs {
  std::uint16_t d;  // binary16
  std::uint8_t qs[64];
};
static_assert(sizeof(BlockIq2Xxs) == 66);

extern const BlockFormat kIq2Xxs;

}  // namespace quantlane
