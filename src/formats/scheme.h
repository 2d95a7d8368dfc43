// The numbers of a quantized matrix, as plain data: value type, width, granularity of the scales.
// Block formats that carry their own scales (ggml) are in block_format.h instead.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "quantlane/result.h"
#include "tensor/dtype.h"

namespace quantlane {

enum class ValueType : std::uint8_t { kInt, kFloat };
// What shares one scale. kChannel: one output row. kToken: one row of activations.
enum class Granularity : std::uint8_t { kTensor, kChannel, kGroup, kToken };

// How the weight [N, K] of a Linear is stored. Spelling: "int4_g128_sym", "int8_channel_sym",
// "fp8_e4m3_channel", "fp8_e4m3_tensor".
struct Scheme {
  ValueType type = ValueType::kInt;
  int bits = 4;  // int: 2..8; float: 8 = E4M3
  bool symmetric = true;
  Granularity granularity = Granularity::kGroup;
  int group_size = 0;                // values of one row that share a scale; only for kGroup
  DType scale_dtype = DType::kBF16;  // kBF16, kF16 or kF32: how scales are stored, hence rounded

  static Result<Scheme> parse(std::string_view spelling);
  [[nodiscard]] std::string spelling() const;
  // Scales of one row of `cols` values; group sizes that do not divide `cols` are refused earlier.
  [[nodiscard]] std::int64_t groups_per_row(std::int64_t cols) const;
  // Stored bits per weight of a matrix [*, cols], scales and zero points included.
  [[nodiscard]] double bits_per_weight(std::int64_t cols) const;
  bool operator==(const Scheme&) const = default;
};

// How the input of a Linear is rounded before the product.
struct ActivationScheme {
  ValueType type = ValueType::kInt;
  int bits = 8;
  Granularity granularity = Granularity::kToken;  // kToken (dynamic) or kTensor (static)
  bool dynamic = true;
  float static_scale = 0;  // only when !dynamic
  bool operator==(const ActivationScheme&) const = default;
};

}  // namespace quantlane
