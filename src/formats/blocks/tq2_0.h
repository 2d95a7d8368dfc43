// tq2_0 (ggml id 35): 256 values in 66 bytes = qs[64], f16 d; value = d * (code - 1). Per 128
// values 32 bytes: value 32 p + l has its 2 bits in byte l at shift 2 p.
// docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockTq2_0 {
  std::uint8_t qs[64];
  std::uint16_t d;  // binary16
};
static_assert(sizeof(BlockTq2_0) == 66);

extern const BlockFormat kTq2_0;

}  // namespace quantlane
