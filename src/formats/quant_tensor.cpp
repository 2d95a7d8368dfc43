#include "formats/quant_tensor.h"

#include "core/check.h"
#include "formats/group_format.h"

namespace quantlane {
namespace {

GroupParams params_of(const QuantTensor& tensor, std::int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  GroupParams params{.scale = tensor.scales[i], .zero = 0};
  if (!tensor.zeros.empty()) {
    // Asymmetric codes and zeros are unsigned bytes in int8 storage.
    params.zero = static_cast<float>(static_cast<std::uint8_t>(tensor.zeros[i]));
  }
  return params;
}

}  // namespace

void QuantTensor::decode_rows(std::int64_t begin, std::int64_t count, float* values) const {
  const GroupFormat* format = group_format_for(scheme);
  QUANTLANE_CHECK(format != nullptr && begin >= 0 && count >= 0 && begin + count <= rows);
  const bool per_tensor = scheme.granularity == Granularity::kTensor;
  const std::int64_t groups = scheme.groups_per_row(cols);
  const std::int64_t length = groups == 1 ? cols : scheme.group_size;
  for (std::int64_t r = begin; r < begin + count; ++r) {
    const std::int8_t* row = codes.data() + r * cols;
    float* target = values + (r - begin) * cols;
    const std::int64_t first = per_tensor ? 0 : r * groups;
    if (!group_of_column.empty()) {
      for (std::int64_t c = 0, next = 0; c < cols; c = next) {
        const std::int32_t group = group_of_column[static_cast<std::size_t>(c)];
        while (next < cols && group_of_column[static_cast<std::size_t>(next)] == group) ++next;
        format->decode(row + c, next - c, params_of(*this, first + group), scheme, target + c);
      }
      continue;
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t start = g * length;
      const std::int64_t size = start + length <= cols ? length : cols - start;
      format->decode(row + start, size, params_of(*this, first + g), scheme, target + start);
    }
  }
}

}  // namespace quantlane
