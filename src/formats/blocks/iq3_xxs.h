// iq3_xxs (ggml id 18): 256 values in 98 bytes = f16 d, qs[64], u32[8]; value = d * (0.5 + scale)
// / 2 * level * sign. Per 4 values a byte of qs names one of 256 points of 4 levels (kGridIq3Xxs).
// Per 32 values a word has four 7-bit sign codes (8 values each) from the low end, whose eighth
// sign makes the number of negatives even, and the scale in its top 4 bits.
// docs/formats/i-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq3Xxs {
  std::uint16_t d;  // binary16
  std::uint8_t qs[64];
  std::uint8_t signs_and_scales[32];
};
static_assert(sizeof(BlockIq3Xxs) == 98);

extern const BlockFormat kIq3Xxs;

}  // namespace quantlane
