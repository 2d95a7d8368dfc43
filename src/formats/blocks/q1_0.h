// q1_0 (ggml id 41): 128 values in 18 bytes = f16 d, 16 bytes of sign bits; bit j % 8 of byte j / 8
// set: d, else -d. docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ1_0 {
  std::uint16_t d;  // binary16
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ1_0) == 18);

extern const BlockFormat kQ1_0;

}  // namespace quantlane
