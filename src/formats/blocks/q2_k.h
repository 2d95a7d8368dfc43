// q2_k (ggml id 10): 256 values in 84 bytes = scales[16], qs[64], f16 d, f16 dmin;
// value = d * (scales[j] & 15) * code - dmin * (scales[j] >> 4) for each 16 values. Per 128 values
// 32 bytes of qs: value 32 p + l has its 2 bits in byte l at shift 2 p. docs/formats/k-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ2K {
  std::uint8_t scales[16];
  std::uint8_t qs[64];
  std::uint16_t d;  // binary16
  std::uint16_t dmin;
};
static_assert(sizeof(BlockQ2K) == 84);

extern const BlockFormat kQ2K;

}  // namespace quantlane
