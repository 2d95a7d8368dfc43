// q5_1 (ggml id 7): 32 values in 24 bytes = f16 d, f16 m, 4 bytes qh, 16 bytes of nibbles;
// value = d * code + m. Nibbles and high bits as in q5_0. docs/formats/ggml-legacy.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ5_1 {
  std::uint16_t d;  // binary16
  std::uint16_t m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

extern const BlockFormat kQ5_1;

}  // namespace quantlane
