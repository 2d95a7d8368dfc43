// q4_1 (ggml id 3): 32 values in 20 bytes = f16 d, f16 m, 16 bytes of nibbles as in q4_0;
// value = d * nibble + m. docs/formats/ggml-legacy.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ4_1 {
  std::uint16_t d;  // binary16
  std::uint16_t m;
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

extern const BlockFormat kQ4_1;

}  // namespace quantlane
