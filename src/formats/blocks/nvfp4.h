// nvfp4 (ggml id 40): 64 values in 36 bytes = four UE4M3 scales, 32 bytes of nibbles;
// value = E2M1(nibble) * scale for each 16 values. Per 16 values 8 bytes: low nibble = first 8.
// docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockNvfp4 {
  std::uint8_t d[4];
  std::uint8_t qs[32];
};
static_assert(sizeof(BlockNvfp4) == 36);

extern const BlockFormat kNvfp4;

}  // namespace quantlane
