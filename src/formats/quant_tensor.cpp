#include "formats/quant_tensor.h"

#include <algorithm>

#include "core/check.h"
#include "core/half.h"
#include "formats/group_format.h"

namespace quantlane {
namespace {

GroupParams params_of(const QuantTensor& tensor, std::int64_t index) {
  return {.scale = tensor.effective_scale(index), .zero = tensor.zero_point(index)};
}

}  // namespace

float QuantTensor::effective_scale(std::int64_t index) const {
  float scale = scales[static_cast<std::size_t>(index)];
  if (scheme.tensor_scale == TensorScale::kDivides) scale = scale / tensor_scale;
  if (scheme.tensor_scale == TensorScale::kMultiplies) scale = scale * tensor_scale;
  round_values(scheme.rounding.scale, &scale, 1);
  return scale;
}

float QuantTensor::zero_point(std::int64_t index) const {
  // Asymmetric codes and zeros are unsigned bytes in int8 storage.
  return zeros.empty() ? 0.0F
                       : static_cast<float>(
                             static_cast<std::uint8_t>(zeros[static_cast<std::size_t>(index)]));
}

void QuantTensor::decode_rows(std::int64_t begin, std::int64_t count, float* values) const {
  const GroupFormat* format = group_format_for(scheme);
  QUANTLANE_CHECK(format != nullptr && begin >= 0 && count >= 0 && begin + count <= rows);
  const std::int64_t groups = scheme.groups_per_row(cols);
  const std::int64_t length = groups == 1 ? cols : scheme.group_size;
  for (std::int64_t r = begin; r < begin + count; ++r) {
    const std::int8_t* row = codes.data() + r * cols;
    float* target = values + (r - begin) * cols;
    const std::int64_t first = scheme.first_scale(r, cols);
    if (!group_of_column.empty()) {
      for (std::int64_t c = 0, next = 0; c < cols; c = next) {
        const std::int32_t group = group_of_column[static_cast<std::size_t>(c)];
        while (next < cols && group_of_column[static_cast<std::size_t>(next)] == group) ++next;
        format->decode(row + c, next - c, params_of(*this, first + group), scheme, target + c);
      }
    } else {
      for (std::int64_t g = 0; g < groups; ++g) {
        const std::int64_t start = g * length;
        format->decode(row + start, std::min(length, cols - start), params_of(*this, first + g),
                       scheme, target + start);
      }
    }
    round_values(scheme.rounding.value, target, cols);
  }
}

void round_values(DType dtype, float* values, std::int64_t count) {
  if (dtype == DType::kF32) return;
  QUANTLANE_CHECK(dtype == DType::kF16 || dtype == DType::kBF16);
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = dtype == DType::kF16 ? f16_to_f32(f32_to_f16(values[i]))
                                     : bf16_to_f32(f32_to_bf16(values[i]));
  }
}

}  // namespace quantlane
