// Contract of the formats whose scales lie beside the codes (int2..8, FP8, FP4, NF4): one row in
// group_formats() per value type. Algorithms see fit, project and decode only.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/quant_tensor.h"
#include "formats/scheme.h"

namespace quantlane {

struct GroupParams {
  float scale = 1;
  float zero = 0;  // integer; 0 when symmetric
};

struct GroupFormat {
  std::string_view name;  // "int", "fp8_e4m3"
  ValueType type;
  bool (*holds)(const Scheme& scheme);
  // Parameters from the extremes of the group (round-to-nearest conventions of the format's own
  // tools), scale rounded to scheme.scale_dtype, never 0, never NaN. `values` finite, not empty.
  GroupParams (*fit_absmax)(std::span<const float> values, const Scheme& scheme);
  // Parameters that minimise sum importance * (decoded - value)^2 over a search around
  // fit_absmax; never worse than fit_absmax under that sum. `importance` empty = all ones.
  GroupParams (*fit_weighted)(std::span<const float> values, std::span<const float> importance,
                              const Scheme& scheme);
  // Nearest codes under frozen parameters.
  void (*project)(std::span<const float> values, GroupParams params, const Scheme& scheme,
                  std::int8_t* codes);
  // Values of codes.
  void (*decode)(const std::int8_t* codes, std::int64_t count, GroupParams params,
                 const Scheme& scheme, float* values);
};

std::span<const GroupFormat* const> group_formats();
// The format that holds `scheme`, or nullptr.
const GroupFormat* group_format_for(const Scheme& scheme);

// Parameters of one group (or block) under the scale of the whole tensor: `stored` is what belongs
// beside the codes, `params` what they are projected and decoded with.
struct FittedGroup {
  float stored = 1;
  GroupParams params;
};
// fit_weighted, or fit_absmax where `weighted` is false.
FittedGroup fit_group(const GroupFormat& format, std::span<const float> values,
                      std::span<const float> importance, bool weighted, const Scheme& scheme,
                      float tensor_scale);

// The scale of a whole tensor whose largest magnitude is `amax`: of kTensor schemes the one scale,
// of schemes with a TensorScale the one that brings the groups' scales into their range (NVFP4:
// divisor 448 * 6 / amax), else 1. Positive and finite.
float tensor_scale_for(const Scheme& scheme, float amax);

// Quantizes values [rows, cols] row by row (kBlock: by block_rows rows): importance per column
// ([cols]) or empty (then fit_absmax is used). Schemes that need one get `tensor_scale` > 0
// (tensor_scale_for the whole matrix).
Result<QuantTensor> quantize_rows(const Scheme& scheme, const float* values, std::int64_t rows,
                                  std::int64_t cols, std::span<const float> importance,
                                  float tensor_scale = 0);

// Rounds activations in place as an engine does before the product: rows [tokens, cols], one scale
// per token or group (dynamic) or the static one. int: scale = amax/127.5, half-even, clamp
// -128..127; FP8: scale = amax/448; FP4: scale = amax/6, as E4M3 under static_scale for NVFP4;
// E8M0 scales: shared_power_of_two; with a zero point: scale = (largest - least) / 255, zero among
// them. Zeros stay zero. Compressed-tensors 0.20 conventions.
void round_activations(const ActivationScheme& scheme, float* values, std::int64_t tokens,
                       std::int64_t cols);

}  // namespace quantlane
