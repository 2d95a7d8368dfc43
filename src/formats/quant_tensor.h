// The logical result of quantizing one matrix under a Scheme, before any engine's byte layout.
#pragma once
#include <cstdint>
#include <vector>

#include "formats/scheme.h"

namespace quantlane {

// Rows may be a slice of a larger matrix (streaming). Code of value (r, c): codes[r * cols + c]:
// int: the signed (symmetric) or unsigned (asymmetric) integer as int8 bits; float: the E4M3 byte.
// Decoded value: int (code - zero) * scale; float e4m3(code) * scale.
struct QuantTensor {
  Scheme scheme;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<std::int8_t> codes;  // [rows, cols]
  std::vector<float> scales;  // [rows, groups] ([1] for kTensor), already rounded to scale_dtype
  std::vector<std::int8_t> zeros;  // [rows, groups], empty when symmetric; same range as the codes
  std::vector<std::int32_t>
      group_of_column;  // [cols], empty = column / group_size (act-order files)

  // values: [count, cols], row-major, of rows [begin, begin + count).
  void decode_rows(std::int64_t begin, std::int64_t count, float* values) const;
};

}  // namespace quantlane
