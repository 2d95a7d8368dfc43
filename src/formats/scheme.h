// The numbers of a quantized matrix, as plain data: value type, width, granularity of the scales.
// Block formats that carry their own scales (ggml) are in block_format.h instead.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "quantlane/result.h"
#include "tensor/dtype.h"

namespace quantlane {

// kNormalFloat: the 16 quantiles of NF4.
enum class ValueType : std::uint8_t { kInt, kFloat, kNormalFloat };
// What shares one scale. kChannel: one output row. kToken: one row of activations. kBlock: a
// rectangle of rows and columns.
enum class Granularity : std::uint8_t { kTensor, kChannel, kGroup, kToken, kBlock };
// How one more scale of the whole tensor enters those of the groups (NVFP4: compressed-tensors
// stores a divisor, ModelOpt a factor).
enum class TensorScale : std::uint8_t { kNone, kDivides, kMultiplies };

// What an engine rounds while it decodes: scales to `scale` before the product with a code, the
// product to `value`. kF32 = nothing; else kF16 or kBF16.
struct DecodeRounding {
  DType scale = DType::kF32;
  DType value = DType::kF32;
  bool operator==(const DecodeRounding&) const = default;
};

// How the weight [N, K] of a Linear is stored. Spelling: "int4_g128_sym", "int8_channel_sym",
// "fp8_e4m3_channel", "fp8_e4m3_tensor", "fp8_e4m3_b128x128", "fp4_e2m1_g32", "nf4_g64",
// "nf4_g64_dq" (nested scales), and the
// three that fix all fields: "nvfp4" (E2M1, groups of 16, E4M3 scales under one of the tensor),
// "mxfp4" (E2M1, groups of 32, E8M0 scales), "mxfp8" (E4M3, the same).
struct Scheme {
  ValueType type = ValueType::kInt;
  int bits = 4;  // int: 2..8; float: 8 = E4M3, 4 = E2M1; normal float: 4
  bool symmetric = true;
  Granularity granularity = Granularity::kGroup;
  int group_size = 0;                // columns that share a scale; only for kGroup and kBlock
  int block_rows = 1;                // rows that share a scale; above 1 only for kBlock
  DType scale_dtype = DType::kBF16;  // how scales are stored, hence rounded: kBF16, kF16, kF32,
                                     // kF8E4M3 or kF8E8M0
  TensorScale tensor_scale = TensorScale::kNone;
  // The columns of a group lie apart, in the order of their activations (QuantTensor::
  // group_of_column); not spelled.
  bool act_order = false;
  DecodeRounding rounding = {};  // not spelled: dialects know what their engines do
  // NF4: the scales are quantized again, to 8 bits in blocks of 256 ("double quantization").
  bool nested_scales = false;

  static Result<Scheme> parse(std::string_view spelling);
  [[nodiscard]] std::string spelling() const;
  // Scales of one row of `cols` values; group sizes that do not divide `cols` are refused earlier.
  [[nodiscard]] std::int64_t groups_per_row(std::int64_t cols) const;
  // Scales of a matrix [rows, cols].
  [[nodiscard]] std::int64_t scale_count(std::int64_t rows, std::int64_t cols) const;
  // Where the scales of row `row` begin.
  [[nodiscard]] std::int64_t first_scale(std::int64_t row, std::int64_t cols) const;
  // Stored bits per weight of a matrix [*, cols], scales and zero points included.
  [[nodiscard]] double bits_per_weight(std::int64_t cols) const;
  bool operator==(const Scheme&) const = default;
};

// How the input of a Linear is rounded before the product. Spelling: "int8_token",
// "fp8_e4m3_token", "int8_tensor", "fp8_e4m3_tensor" (static), "int8_token_asym" and
// "int8_tensor_asym" (with zero points), "fp8_e4m3_g128", and as weights "nvfp4", "mxfp4", "mxfp8".
struct ActivationScheme {
  ValueType type = ValueType::kInt;
  int bits = 8;                                   // float: 8 = E4M3, 4 = E2M1
  Granularity granularity = Granularity::kToken;  // kToken, kGroup (dynamic) or kTensor (static)
  int group_size = 0;                             // only for kGroup
  // What dynamic scales are rounded to: kF32, kF8E4M3, kF8E8M0; kF16 with ggml_codes.
  DType scale_dtype = DType::kF32;
  TensorScale tensor_scale = TensorScale::kNone;
  // 8-bit dynamic integers as ggml's Q8_0 and Q8_K: the code is x * (127 / largest), whatever the
  // scale is rounded to.
  bool ggml_codes = false;
  // kF16 or kBF16: a plain rounding to that type, without scales; all else is ignored then.
  DType plain = DType::kF32;
  bool dynamic = true;
  // 8-bit integers alone: codes stand from a zero point on, so that the range is that of the
  // values; dynamic ones take it from the least and the largest of them.
  bool symmetric = true;
  // What calibration gives: the scale when !dynamic, that of the tensor with a TensorScale; and
  // the code of zero where !symmetric.
  float static_scale = 0;
  std::int8_t static_zero = 0;
  // How a dialect that has the choice stores it where !dynamic: kBF16, or kF32 where that does not
  // hold it; not spelled.
  DType static_dtype = DType::kBF16;

  static Result<ActivationScheme> parse(std::string_view spelling);
  // "f16" and "bf16" of plain roundings, which parse() does not know.
  [[nodiscard]] std::string spelling() const;
  // Does it need static_scale?
  [[nodiscard]] bool calibrated() const { return !dynamic || tensor_scale != TensorScale::kNone; }
  // Do both round alike, whatever scales calibration gave them, however those are stored?
  [[nodiscard]] bool same_kind(ActivationScheme other) const {
    other.static_scale = static_scale;
    other.static_zero = static_zero;
    other.static_dtype = static_dtype;
    return other == *this;
  }
  bool operator==(const ActivationScheme&) const = default;
};

}  // namespace quantlane
