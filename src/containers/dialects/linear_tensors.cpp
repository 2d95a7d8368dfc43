#include "containers/dialects/linear_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "containers/tensor_size.h"
#include "core/check.h"

namespace quantlane {
namespace {

std::vector<std::int64_t> without_ones(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> rest;
  std::ranges::copy_if(shape, std::back_inserter(rest), [](std::int64_t n) { return n != 1; });
  return rest;
}

}  // namespace

StoredLinear empty_linear(const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  StoredLinear linear;
  linear.input = scheme.input;
  linear.weight.scheme = scheme.weight;
  linear.weight.rows = rows;
  linear.weight.cols = cols;
  return linear;
}

std::vector<std::int8_t> byte_codes(std::span<const std::byte> bytes) {
  std::vector<std::int8_t> codes(bytes.size());
  if (!bytes.empty()) std::memcpy(codes.data(), bytes.data(), bytes.size());
  return codes;
}

std::vector<std::int8_t> nibble_codes(std::span<const std::byte> bytes) {
  std::vector<std::int8_t> codes(2 * bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    codes[2 * i] = static_cast<std::int8_t>(bytes[i] & std::byte{15});
    codes[2 * i + 1] = static_cast<std::int8_t>(bytes[i] >> 4);
  }
  return codes;
}

std::vector<float> transposed(std::span<const float> values, std::int64_t lines,
                              std::int64_t width) {
  std::vector<float> result(values.size());
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t i = 0; i < width; ++i) {
      result[static_cast<std::size_t>(i * lines + line)] =
          values[static_cast<std::size_t>(line * width + i)];
    }
  }
  return result;
}

LinearTensors::LinearTensors(const Container& container, std::string_view module,
                             std::string_view dialect)
    : container_(container), module_(module), dialect_(dialect) {}

std::string LinearTensors::attempt() const {
  return "reading a weight of " + std::string(dialect_);
}

Error LinearTensors::wrong(const TensorInfo& tensor) const {
  return at_tensor(corrupt(attempt()), container_, tensor);
}

Error LinearTensors::wrong_module() const {
  return corrupt(attempt()).in(container_.files()[0]).of(module_);
}

const TensorInfo* LinearTensors::find(std::string_view suffix) const {
  return container_.find(module_ + "." + std::string(suffix));
}

std::string LinearTensors::advice_for_missing() const {
  const TensorInfo* weight = find("weight");
  const bool plain =
      weight != nullptr && weight->type.block == nullptr &&
      std::ranges::find(kPlainScaleTypes, weight->type.plain) != kPlainScaleTypes.end();
  if (plain) {
    return module_ +
           ".weight is stored unquantized: list the module among those that the "
           "configuration keeps so";
  }
  return "copy or download the checkpoint again if it is incomplete; else correct the quantization "
         "configuration: its scheme is not the one of the tensors";
}

Result<const TensorInfo*> LinearTensors::require(std::string_view suffix,
                                                 std::initializer_list<DType> types,
                                                 const std::vector<std::int64_t>& shape) const {
  const TensorInfo* tensor = find(suffix);
  if (tensor == nullptr) {
    return fail(not_found(attempt())
                    .in(container_.files()[0])
                    .of(module_ + "." + std::string(suffix))
                    .expects("the tensor that the quantization configuration announces")
                    .got("no such tensor")
                    .advise(advice_for_missing()));
  }
  const bool type_fits =
      tensor->type.block == nullptr && std::ranges::find(types, tensor->type.plain) != types.end();
  if (!type_fits || without_ones(tensor->shape) != without_ones(shape)) {
    std::string names;
    for (const DType type : types)
      names += (names.empty() ? "" : " or ") + std::string(dtype_row(type).name);
    return fail(wrong(*tensor)
                    .expects(names + " " + shape_text(shape))
                    .got(std::string(tensor->type.name()) + " " + shape_text(tensor->shape)));
  }
  return tensor;
}

Result<std::vector<float>> LinearTensors::finite_values(const TensorInfo& tensor) const {
  std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
  decode_plain(tensor.type.plain, bytes(tensor).data(), tensor.element_count(), values.data());
  const auto bad = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
  if (bad != values.end()) {
    return fail(wrong(tensor)
                    .expects("finite scales")
                    .got("scale " + std::to_string(bad - values.begin()) + " is not finite"));
  }
  return values;
}

Result<void> LinearTensors::read_scales(const TensorInfo& tensor, QuantTensor& weight) const {
  TensorInfo meant = tensor;
  DType& type = weight.scheme.scale_dtype;
  if (type == DType::kF8E8M0) meant.type = {.plain = type};
  type = meant.type.plain;
  QUANTLANE_TRY(weight.scales, finite_values(meant));
  return {};
}

Result<void> LinearTensors::read_group_major_scales(const TensorInfo& tensor,
                                                    QuantTensor& weight) const {
  QUANTLANE_TRY_VOID(read_scales(tensor, weight));
  const std::int64_t groups = weight.scheme.groups_per_row(weight.cols);
  weight.scales = transposed(weight.scales, groups, weight.rows);
  return {};
}

Result<float> LinearTensors::positive_scalar(const TensorInfo& tensor) const {
  QUANTLANE_TRY(const std::vector<float> values, finite_values(tensor));
  if (values.size() != 1 || !(values[0] > 0)) {
    return fail(wrong(tensor)
                    .expects("one positive scale")
                    .got(values.size() == 1 ? std::to_string(values[0])
                                            : std::to_string(values.size()) + " values"));
  }
  return values[0];
}

Result<std::vector<std::int32_t>> LinearTensors::group_order(const TensorInfo& tensor,
                                                             std::int64_t groups,
                                                             std::int64_t group_size) const {
  std::vector<std::int32_t> order(static_cast<std::size_t>(tensor.element_count()));
  if (!order.empty()) std::memcpy(order.data(), bytes(tensor).data(), order.size() * 4);
  bool plain = true;
  for (std::size_t c = 0; c < order.size(); ++c) {
    if (order[c] < 0 || order[c] >= groups) {
      return fail(wrong(tensor)
                      .expects("group indices below " + std::to_string(groups))
                      .got(std::to_string(order[c])));
    }
    plain = plain && order[c] == static_cast<std::int64_t>(c) / group_size;
  }
  if (plain) order.clear();
  return order;
}

}  // namespace quantlane
