// q5_0 (ggml id 6): 32 values in 22 bytes = f16 d, 4 bytes qh, 16 bytes of nibbles;
// value = d * (code - 16). Nibbles as in q4_0; bit i of the little-endian qh is bit 4 of code i.
// docs/formats/ggml-legacy.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ5_0 {
  std::uint16_t d;  // binary16
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

extern const BlockFormat kQ5_0;

}  // namespace quantlane
