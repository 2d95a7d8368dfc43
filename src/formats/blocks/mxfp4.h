// mxfp4 (ggml id 39): 32 values in 17 bytes = e (E8M0), 16 bytes of nibbles as in q4_0;
// value = E2M1(nibble) * 2^(e - 127). docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockMxfp4 {
  std::uint8_t e;
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockMxfp4) == 17);

extern const BlockFormat kMxfp4;

}  // namespace quantlane
