// q3_k (ggml id 11): 256 values in 110 bytes = hmask[32], qs[64], scales[12], f16 d;
// value = d * (scale - 32) * (code - 4) for each 16 values. Low 2 bits of the codes in qs as in
// q2_k; bit 2 of value 32 p + l is bit p of hmask[l]. Sixteen 6-bit scales: low nibbles of 0-7 /
// 8-15 in the low / high nibbles of bytes 0-7, bits 4-5 of scale j in byte 8 + j % 4 at shift 2 *
// (j / 4). docs/formats/k-quants.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockQ3K {
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];
  std::uint16_t d;  // binary16
};
static_assert(sizeof(BlockQ3K) == 110);

extern const BlockFormat kQ3K;

namespace {

// Scale j as stored, 0..63, with 32 standing for 0.
inline int q3_k_scale(const BlockQ3K& block, int j) {
  const int low = j < 8 ? block.scales[j] & 15 : block.scales[j - 8] >> 4;
  return low | (block.scales[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
}
// `block.scales` must be zero before the first scale is put.
inline void put_q3_k_scale(BlockQ3K& block, int j, int scale) {
  std::uint8_t& nibbles = block.scales[j % 8];
  std::uint8_t& high = block.scales[8 + j % 4];
  nibbles = static_cast<std::uint8_t>(nibbles | (scale & 15) << (j < 8 ? 0 : 4));
  high = static_cast<std::uint8_t>(high | (scale >> 4) << (2 * (j / 4)));
}

}  // namespace

}  // namespace quantlane
