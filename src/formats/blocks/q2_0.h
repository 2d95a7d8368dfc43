// q2_0 (ggml id 42): 64 values in 18 bytes = f16 d, 16 bytes of four 2-bit codes from the low end;
// value = d * (code - 1). docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ2_0 {
  std::uint16_t d;  // binary16
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockQ2_0) == 18);

extern const BlockFormat kQ2_0;

}  // namespace quantlane
