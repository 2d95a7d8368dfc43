// The 12 bytes of eight 6-bit (scale, minimum) pairs of q4_k and q5_k: bytes 0-3 hold scales 0-3
// and bytes 4-7 minimums 0-3 in their low 6 bits; bytes 8-11 hold the low nibbles of scales (low)
// and minimums (high) 4-7, whose bits 4-5 are bits 6-7 of bytes 0-3 and 4-7.
#pragma once
#include <cstdint>

namespace quantlane {
namespace {

struct ScalePair {
  int scale;
  int minimum;
};

inline ScalePair scale_pair(const std::uint8_t (&bytes)[12], int index) {
  if (index < 4) return {.scale = bytes[index] & 63, .minimum = bytes[index + 4] & 63};
  return {.scale = (bytes[index + 4] & 15) | (bytes[index - 4] >> 6) << 4,
          .minimum = (bytes[index + 4] >> 4) | (bytes[index] >> 6) << 4};
}

// `bytes` must be zero before the first pair is put.
inline void put_scale_pair(std::uint8_t (&bytes)[12], int index, ScalePair pair) {
  const auto add = [&](int byte, int bits) {
    bytes[byte] = static_cast<std::uint8_t>(bytes[byte] | bits);
  };
  if (index < 4) {
    add(index, pair.scale);
    add(index + 4, pair.minimum);
    return;
  }
  add(index + 4, (pair.scale & 15) | (pair.minimum & 15) << 4);
  add(index - 4, (pair.scale >> 4) << 6);
  add(index, (pair.minimum >> 4) << 6);
}

}  // namespace
}  // namespace quantlane
