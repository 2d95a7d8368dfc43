// How codes of 2 to 6 bits lie in the bytes of ggml blocks. Internal linkage for the reason given
// in lanes.h.
#pragma once
#include <stdint.h>

namespace quantlane {
namespace {

// Bits 0-1 of 256 codes: per 128 codes 32 bytes, code 32 p + l in byte l at shift 2 p.
inline void pack_two_bits(const unsigned char* codes, uint8_t* qs) {
  for (int half = 0; half < 2; ++half, codes += 128, qs += 32) {
    for (int l = 0; l < 32; ++l) {
      qs[l] = static_cast<uint8_t>((codes[l] & 3) | (codes[l + 32] & 3) << 2 |
                                   (codes[l + 64] & 3) << 4 | (codes[l + 96] & 3) << 6);
    }
  }
}
inline void unpack_two_bits(const uint8_t* qs, unsigned char* codes) {
  for (int i = 0; i < 256; ++i) {
    codes[i] = static_cast<unsigned char>(qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3);
  }
}

// Bits 0-3 of 256 codes: per 64 codes 32 bytes, the low nibble of byte l is code l.
inline void pack_four_bits(const unsigned char* codes, uint8_t* qs) {
  for (int pair = 0; pair < 4; ++pair, codes += 64, qs += 32) {
    for (int l = 0; l < 32; ++l) {
      qs[l] = static_cast<uint8_t>((codes[l] & 15) | (codes[l + 32] & 15) << 4);
    }
  }
}
inline void unpack_four_bits(const uint8_t* qs, unsigned char* codes) {
  for (int i = 0; i < 256; ++i) {
    const int byte = qs[32 * (i / 64) + i % 32];
    codes[i] = static_cast<unsigned char>(i % 64 < 32 ? byte & 15 : byte >> 4);
  }
}

// The highest bit, `kShift`, of 256 codes: bit p of byte l is that of code 32 p + l. `bytes` must
// be zero before.
template <int kShift>
inline void pack_bit_planes(const unsigned char* codes, uint8_t* bytes) {
  for (int p = 0; p < 8; ++p) {
    for (int l = 0; l < 32; ++l) {
      bytes[l] = static_cast<uint8_t>(bytes[l] | (codes[32 * p + l] >> kShift) << p);
    }
  }
}
// Adds the highest bits to codes that lack them.
template <int kShift>
inline void unpack_bit_planes(const uint8_t* bytes, unsigned char* codes) {
  for (int i = 0; i < 256; ++i) {
    codes[i] = static_cast<unsigned char>(codes[i] | (bytes[i % 32] >> (i / 32) & 1) << kShift);
  }
}

// q6_k: per 128 codes 64 bytes of low nibbles (codes l and l + 64 in byte l) and 32 bytes of bits
// 4-5 (codes l, l + 32, l + 64, l + 96 in byte l).
inline void pack_six_bits(const unsigned char* codes, uint8_t* ql, uint8_t* qh) {
  for (int half = 0; half < 2; ++half, codes += 128, ql += 64, qh += 32) {
    for (int l = 0; l < 64; ++l) {
      ql[l] = static_cast<uint8_t>((codes[l] & 15) | (codes[l + 64] & 15) << 4);
    }
    for (int l = 0; l < 32; ++l) {
      qh[l] = static_cast<uint8_t>(codes[l] >> 4 | (codes[l + 32] >> 4) << 2 |
                                   (codes[l + 64] >> 4) << 4 | (codes[l + 96] >> 4) << 6);
    }
  }
}
inline void unpack_six_bits(const uint8_t* ql, const uint8_t* qh, unsigned char* codes) {
  for (int i = 0; i < 256; ++i) {
    const int nibbles = ql[64 * (i / 128) + i % 64];
    const int low = i % 128 < 64 ? nibbles & 15 : nibbles >> 4;
    const int high = qh[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
    codes[i] = static_cast<unsigned char>(low | high << 4);
  }
}

// 2 * `half` codes of 4 bits: byte j holds code j low, code j + half high.
inline void pack_nibbles(const unsigned char* codes, int half, uint8_t* qs) {
  for (int j = 0; j < half; ++j) qs[j] = static_cast<uint8_t>(codes[j] | codes[j + half] << 4);
}
inline void unpack_nibbles(const uint8_t* qs, int half, unsigned char* codes) {
  for (int j = 0; j < half; ++j) {
    codes[j] = qs[j] & 15;
    codes[j + half] = qs[j] >> 4;
  }
}

}  // namespace
}  // namespace quantlane
