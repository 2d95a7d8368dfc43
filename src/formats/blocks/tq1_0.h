// tq1_0 (ggml id 34): 256 values in 54 bytes = qs[48], qh[4], f16 d; value = d * (trit - 1). A byte
// holds five trits (qh: four) as a base-3 fraction: trit n is the carry of 3 * (byte * 3^n mod 256)
// over 256. Order: trit n of 32 bytes, n = 0..4; trit n of the next 16; trit n of qh.
// docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockTq1_0 {
  std::uint8_t qs[48];
  std::uint8_t qh[4];
  std::uint16_t d;  // binary16
};
static_assert(sizeof(BlockTq1_0) == 54);

extern const BlockFormat kTq1_0;

}  // namespace quantlane
