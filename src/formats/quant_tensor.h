// The logical result of quantizing one matrix under a Scheme, before any engine's byte layout.
#pragma once
#include <cstdint>
#include <vector>

#include "formats/scheme.h"

namespace quantlane {

// Rows may be a slice of a larger matrix (streaming); a slice of a kBlock scheme begins at a
// multiple of block_rows. Code of value (r, c): codes[r * cols + c]: int: the signed (symmetric) or
// unsigned (asymmetric) integer as int8 bits; float: the E4M3 byte or the E2M1 nibble; normal
// float: the index. Decoded value: (code - zero) * scale for int, value of the code * scale for the
// others, under scheme.rounding.
struct QuantTensor {
  Scheme scheme;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<std::int8_t> codes;  // [rows, cols]
  // [rows / block_rows, groups] ([1] for kTensor), already rounded to scale_dtype.
  std::vector<float> scales;
  std::vector<std::int8_t> zeros;  // [rows, groups], empty when symmetric; same range as the codes
  std::vector<std::int32_t>
      group_of_column;     // [cols], empty = column / group_size (act-order files)
  float tensor_scale = 1;  // as scheme.tensor_scale says; 1 with kNone

  // What a code is multiplied with under scales[index].
  [[nodiscard]] float effective_scale(std::int64_t index) const;
  // The zero point beside scales[index].
  [[nodiscard]] float zero_point(std::int64_t index) const;
  // values: [count, cols], row-major, of rows [begin, begin + count).
  void decode_rows(std::int64_t begin, std::int64_t count, float* values) const;
};

// Rounds in place to `dtype` (kF16, kBF16; kF32 leaves them) and back.
void round_values(DType dtype, float* values, std::int64_t count);

}  // namespace quantlane
