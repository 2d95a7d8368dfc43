// iq1_m (ggml id 29): 256 values in 56 bytes = qs[32], qh[16], u16 scales[4]; value = d * (2 scale
// + 1) * (level +- 0.125). Per 8 values: a byte of qs and bits 0-2 of a nibble of qh (low one
// first) name one of 2048 points of 8 levels -1, 0, 1 (kGridIq1); bit 3 of the nibble: minus
// 0.125. A 3-bit scale per 16 values, four in the low 12 bits of each word of scales; the top
// nibbles of these words, first one lowest, are the binary16 d. docs/formats/i-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq1M {
  std::uint8_t qs[32];
  std::uint8_t qh[16];
  std::uint16_t scales[4];
};
static_assert(sizeof(BlockIq1M) == 56);

extern const BlockFormat kIq1M;

}  // namespace quantlane
