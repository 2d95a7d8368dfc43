// Fast row encoders for the hot formats; each matches the scalar code of formats/ bit for bit.
#pragma once
#include <cstdint>

namespace quantlane::kernels {

// One row of bf16 to symmetric INT8 codes with one scale (absmax / 127.5 rounded to
// bf16, half-even, clamp -128..127) or to E4M3 codes (absmax / 448 rounded to bf16, saturating).
// Returns the scale; a zero row gives scale formats/ prescribes. `finite` is false when the row
// holds a NaN or an infinity (codes are then unspecified).
struct EncodedRow {
  float scale;
  bool finite;
};
EncodedRow encode_row_int8(const std::uint16_t* bf16, std::int64_t cols, std::int8_t* codes);
EncodedRow encode_row_e4m3(const std::uint16_t* bf16, std::int64_t cols, std::int8_t* codes);

}  // namespace quantlane::kernels
