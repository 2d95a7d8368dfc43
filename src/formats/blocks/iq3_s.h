// iq3_s (ggml id 21): 256 values in 110 bytes = f16 d, qs[64], qh[8], signs[32], scales[4]; value
// = d * (1 + 2 scale) * level * sign. Per 4 values: a byte of qs and a bit of qh (bit g of the 64)
// name one of 512 points of 4 levels (kGridIq3S). One sign bit per value. A scale nibble per 32
// values, low one first. docs/formats/i-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq3S {
  std::uint16_t d;  // binary16
  std::uint8_t qs[64];
  std::uint8_t qh[8];
  std::uint8_t signs[32];
  std::uint8_t scales[4];
};
static_assert(sizeof(BlockIq3S) == 110);

extern const BlockFormat kIq3S;

}  // namespace quantlane
