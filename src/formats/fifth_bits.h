// Codes of 5 bits in q5_0 and q5_1: nibbles as in q4_0 (byte j: value j low, value j + 16 high),
// and bit i of the little-endian qh is bit 4 of code i.
#pragma once
#include <cstdint>

namespace quantlane {
namespace {

inline void unpack_five_bits(const std::uint8_t (&qh)[4], const std::uint8_t (&qs)[16],
                             int (&codes)[32]) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = qs[j] & 15;
    codes[j + 16] = qs[j] >> 4;
  }
  for (int i = 0; i < 32; ++i) codes[i] |= (qh[i / 8] >> (i % 8) & 1) << 4;
}

inline void pack_five_bits(const unsigned char (&codes)[32], std::uint8_t (&qh)[4],
                           std::uint8_t (&qs)[16]) {
  for (int j = 0; j < 16; ++j) {
    qs[j] = static_cast<std::uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
  }
  for (int byte = 0; byte < 4; ++byte) {
    unsigned bits = 0;
    for (int i = 0; i < 8; ++i) bits |= static_cast<unsigned>(codes[8 * byte + i] >> 4) << i;
    qh[byte] = static_cast<std::uint8_t>(bits);
  }
}

}  // namespace
}  // namespace quantlane
