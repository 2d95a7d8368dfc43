// q4_0 (ggml id 2): 32 values in 18 bytes = f16 d, 16 bytes of nibbles; value = d * (nibble - 8).
// Byte j holds value j in its low and value j + 16 in its high nibble. docs/formats/ggml-legacy.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ4_0 {
  std::uint16_t d;  // binary16
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

extern const BlockFormat kQ4_0;

}  // namespace quantlane
