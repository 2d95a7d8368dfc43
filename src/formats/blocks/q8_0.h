// q8_0 (ggml id 8): 32 values in 34 bytes = f16 d, 32 int8; value = d * code.
// docs/formats/ggml-legacy.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ8_0 {
  std::uint16_t d;  // binary16
  std::int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

extern const BlockFormat kQ8_0;

}  // namespace quantlane
