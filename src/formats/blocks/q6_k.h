// q6_k (ggml id 14): 256 values in 210 bytes = ql[128], qh[64], int8 scales[16], f16 d;
// value = d * scale * (code - 32) for each 16 values. Per 128 values 64 bytes ql and 32 bytes qh:
// for l in 0..31 the values l, l + 32, l + 64, l + 96 have their low nibbles in ql[l] low, ql[l +
// 32] low, ql[l] high, ql[l + 32] high, and bits 4-5 in qh[l] at shift 0, 2, 4, 6.
// docs/formats/k-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ6K {
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  std::uint16_t d;  // binary16
};
static_assert(sizeof(BlockQ6K) == 210);

extern const BlockFormat kQ6K;

}  // namespace quantlane
