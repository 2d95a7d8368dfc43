// iq1_s (ggml id 19): 256 values in 50 bytes = f16 d, qs[32], u16 qh[8]; value = d * (2 scale + 1)
// * (level +- 0.125). Per 8 values: a byte of qs and 3 bits of qh (word g / 4 at shift 3 (g % 4))
// name one of 2048 points of 8 levels -1, 0, 1 (kGridIq1). Bits 12-14 of qh: scale, bit 15: minus
// 0.125, for 32 values. docs/formats/i-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq1S {
  std::uint16_t d;  // binary16
  std::uint8_t qs[32];
  std::uint16_t qh[8];
};
static_assert(sizeof(BlockIq1S) == 50);

extern const BlockFormat kIq1S;

}  // namespace quantlane
