// One point of a code book to values; shared by the decoders of the i-quants.
#pragma once
#include <bit>
#include <cstdint>

#include "formats/blocks/grids.h"

namespace quantlane {

// Eight signs (1 = negative) of a stored 7-bit code: the eighth makes their number even.
inline unsigned signs_of_code(unsigned code) {
  const unsigned low = code & 127;
  return low | (static_cast<unsigned>(std::popcount(low)) & 1) << 7;
}

// target[8] = +-step * level, sign bit j for value j.
inline void decode_iq2_point(std::uint16_t point, unsigned signs, float step, float* target) {
  for (int j = 0; j < 8; ++j) {
    const float magnitude = step * kLevelsIq2[point >> (2 * j) & 3];
    target[j] = (signs >> j & 1) != 0 ? -magnitude : magnitude;
  }
}

// target[4] = +-step * level, sign bit j for value j.
inline void decode_iq3_point(std::uint16_t point, const float* levels, unsigned signs, float step,
                             float* target) {
  for (int j = 0; j < 4; ++j) {
    const float magnitude = step * levels[point >> (4 * j) & 7];
    target[j] = (signs >> j & 1) != 0 ? -magnitude : magnitude;
  }
}

// target[8] = step * (level + delta)
inline void decode_iq1_point(std::uint16_t point, float delta, float step, float* target) {
  for (int j = 0; j < 8; ++j) target[j] = step * (kLevelsIq1[point >> (2 * j) & 3] + delta);
}

}  // namespace quantlane
