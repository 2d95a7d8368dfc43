#include "containers/dialects/compressed_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "containers/dialects/compressed_tensors_config.h"
#include "core/check.h"
#include "core/half.h"

namespace quantlane {
namespace {

using compressed_tensors::Layout;
using compressed_tensors::layout_of;

Error wrong_tensor(const Container& container, const std::string& name) {
  return corrupt("reading a compressed-tensors weight").in(container.files()[0]).of(name);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

// The tensor with one of the allowed dtypes and exactly this many elements and innermost size.
Result<const TensorInfo*> require(const Container& container, std::string_view module,
                                  std::string_view suffix, std::span<const DType> dtypes,
                                  std::vector<std::int64_t> shape) {
  const std::string name = std::string(module) + "." + std::string(suffix);
  const TensorInfo* tensor = container.find(name);
  if (tensor == nullptr) {
    return fail(not_found("reading a compressed-tensors weight")
                    .in(container.files()[0])
                    .of(name)
                    .expects("the tensor that quantization_config announces")
                    .advise("check the \"ignore\" list of config.json"));
  }
  bool dtype_fits = false;
  for (const DType dtype : dtypes) dtype_fits |= tensor->type == ElementType{.plain = dtype};
  if (!dtype_fits || tensor->shape != shape) {
    return fail(wrong_tensor(container, name)
                    .at(tensor->offset)
                    .expects(std::string(dtype_row(dtypes[0]).name) + " " + shape_text(shape))
                    .got(std::string(tensor->type.name()) + " " + shape_text(tensor->shape)));
  }
  return tensor;
}

constexpr std::array kScaleTypes = {DType::kBF16, DType::kF16, DType::kF32};

Result<void> read_scales(const Container& container, std::string_view module, QuantTensor& tensor) {
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  const bool per_tensor = tensor.scheme.granularity == Granularity::kTensor;
  QUANTLANE_TRY(const TensorInfo* scale,
                require(container, module, "weight_scale", kScaleTypes,
                        per_tensor ? std::vector<std::int64_t>{1}
                                   : std::vector<std::int64_t>{tensor.rows, groups}));
  tensor.scheme.scale_dtype = scale->type.plain;
  tensor.scales.resize(static_cast<std::size_t>(scale->element_count()));
  decode_plain(scale->type.plain, container.bytes(*scale).data(), scale->element_count(),
               tensor.scales.data());
  for (std::size_t i = 0; i < tensor.scales.size(); ++i) {
    if (!std::isfinite(tensor.scales[i])) {
      return fail(wrong_tensor(container, scale->name)
                      .at(scale->offset)
                      .expects("finite scales")
                      .got("scale " + std::to_string(i) + " is not finite"));
    }
  }
  return {};
}

std::uint32_t word_at(std::span<const std::byte> bytes, std::int64_t index) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data() + 4 * index, 4);
  return word;
}

Result<void> read_zeros(const Container& container, std::string_view module, QuantTensor& tensor) {
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  const int bits = tensor.scheme.bits;
  const int per_word = 32 / bits;
  constexpr std::array kWord = {DType::kI32};
  QUANTLANE_TRY(const TensorInfo* zero, require(container, module, "weight_zero_point", kWord,
                                                {(tensor.rows + per_word - 1) / per_word, groups}));
  const auto bytes = container.bytes(*zero);
  const std::uint32_t mask = (1U << bits) - 1;
  tensor.zeros.resize(static_cast<std::size_t>(tensor.rows * groups));
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::uint32_t word = word_at(bytes, r / per_word * groups + g);
      tensor.zeros[static_cast<std::size_t>(r * groups + g)] =
          static_cast<std::int8_t>(word >> (r % per_word * bits) & mask);
    }
  }
  return {};
}

Result<void> read_order(const Container& container, std::string_view module, QuantTensor& tensor) {
  const std::string name = std::string(module) + ".weight_g_idx";
  if (container.find(name) == nullptr) return {};
  constexpr std::array kWord = {DType::kI32};
  QUANTLANE_TRY(const TensorInfo* order,
                require(container, module, "weight_g_idx", kWord, {tensor.cols}));
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  for (std::int64_t c = 0; c < tensor.cols; ++c) {
    const auto group = static_cast<std::int32_t>(word_at(container.bytes(*order), c));
    if (group < 0 || group >= groups) {
      return fail(wrong_tensor(container, name)
                      .at(order->offset)
                      .expects("group indices below " + std::to_string(groups))
                      .got(std::to_string(group)));
    }
    tensor.group_of_column.push_back(group);
  }
  return {};
}

Result<void> read_packed(const Container& container, std::string_view module, QuantTensor& tensor) {
  const int bits = tensor.scheme.bits;
  if (bits != 2 && bits != 4 && bits != 8) {
    return fail(unsupported("reading a packed weight")
                    .in(container.files()[0])
                    .of(std::string(module))
                    .expects("2, 4 or 8 bits")
                    .got(std::to_string(bits)));
  }
  const int per_word = 32 / bits;
  const std::int64_t words = (tensor.cols + per_word - 1) / per_word;
  constexpr std::array kWord = {DType::kI32};
  QUANTLANE_TRY(const TensorInfo* packed,
                require(container, module, "weight_packed", kWord, {tensor.rows, words}));
  const auto bytes = container.bytes(*packed);
  const std::uint32_t mask = (1U << bits) - 1;
  const int offset = tensor.scheme.symmetric ? 1 << (bits - 1) : 0;
  tensor.codes.resize(static_cast<std::size_t>(tensor.rows * tensor.cols));
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    for (std::int64_t c = 0; c < tensor.cols; ++c) {
      const std::uint32_t word = word_at(bytes, r * words + c / per_word);
      const auto stored = static_cast<int>(word >> (c % per_word * bits) & mask);
      tensor.codes[static_cast<std::size_t>(r * tensor.cols + c)] =
          static_cast<std::int8_t>(stored - offset);
    }
  }
  if (!tensor.scheme.symmetric) QUANTLANE_TRY_VOID(read_zeros(container, module, tensor));
  return read_order(container, module, tensor);
}

Result<QuantTensor> unpack(const Container& container, std::string_view module,
                           const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  QuantTensor tensor;
  tensor.scheme = scheme.weight;
  tensor.rows = rows;
  tensor.cols = cols;
  if (scheme.weight.granularity == Granularity::kGroup && cols % scheme.weight.group_size != 0) {
    return fail(wrong_tensor(container, std::string(module))
                    .expects("a width that the group size " +
                             std::to_string(scheme.weight.group_size) + " divides")
                    .got(std::to_string(cols) + " columns"));
  }
  QUANTLANE_TRY_VOID(read_scales(container, module, tensor));
  const Layout layout = layout_of(scheme);
  if (layout != Layout::kPacked && !scheme.weight.symmetric) {
    return fail(unsupported("reading a compressed-tensors weight")
                    .in(container.files()[0])
                    .of(std::string(module))
                    .expects("symmetric 8-bit weights")
                    .got("\"symmetric\": false"));
  }
  if (layout == Layout::kPacked) {
    QUANTLANE_TRY_VOID(read_packed(container, module, tensor));
    return tensor;
  }
  constexpr std::array kFloat = {DType::kF8E4M3};
  constexpr std::array kInt = {DType::kI8};
  QUANTLANE_TRY(const TensorInfo* weight,
                require(container, module, "weight",
                        layout == Layout::kFloat ? std::span<const DType>(kFloat)
                                                 : std::span<const DType>(kInt),
                        {rows, cols}));
  tensor.codes.resize(static_cast<std::size_t>(rows * cols));  // bounded by the stored tensor
  std::ranges::copy(container.bytes(*weight),
                    std::as_writable_bytes(std::span(tensor.codes)).begin());
  return tensor;
}

std::optional<std::string> cannot_hold(const LinearScheme& scheme, std::int64_t,
                                       std::int64_t cols) {
  const Scheme& w = scheme.weight;
  if (!w.symmetric) return "asymmetric weights are not written yet";
  if (w.granularity == Granularity::kGroup && cols % w.group_size != 0) {
    return "the group size " + std::to_string(w.group_size) + " does not divide " +
           std::to_string(cols) + " columns";
  }
  if (layout_of(scheme) == Layout::kPacked && (32 % w.bits != 0 || cols % (32 / w.bits) != 0)) {
    return std::to_string(cols) + " columns of " + std::to_string(w.bits) +
           " bits do not fill whole 32-bit words";
  }
  return std::nullopt;
}

std::vector<PlannedTensor> plan(std::string_view module, const LinearScheme& scheme,
                                std::int64_t rows, std::int64_t cols) {
  const std::string base(module);
  const Scheme& w = scheme.weight;
  const Layout layout = layout_of(scheme);
  const PlannedTensor scale{.name = base + ".weight_scale",
                            .type = {.plain = w.scale_dtype},
                            .shape = w.granularity == Granularity::kTensor
                                         ? std::vector<std::int64_t>{1}
                                         : std::vector<std::int64_t>{rows, w.groups_per_row(cols)}};
  if (layout == Layout::kPacked) {
    return {{.name = base + ".weight_packed",
             .type = {.plain = DType::kI32},
             .shape = {rows, cols * w.bits / 32}},
            scale,
            {.name = base + ".weight_shape", .type = {.plain = DType::kI64}, .shape = {2}}};
  }
  const DType code_type = layout == Layout::kFloat ? DType::kF8E4M3 : DType::kI8;
  return {{.name = base + ".weight", .type = {.plain = code_type}, .shape = {rows, cols}}, scale};
}

void append_packed(const QuantTensor& slice, std::vector<std::byte>& part) {
  const int bits = slice.scheme.bits;
  const int per_word = 32 / bits;
  const int offset = 1 << (bits - 1);
  const std::size_t words = slice.codes.size() / static_cast<std::size_t>(per_word);
  const std::size_t begin = part.size();
  part.resize(begin + 4 * words);
  const std::int8_t* code = slice.codes.data();
  for (std::size_t i = 0; i < words; ++i) {
    std::uint32_t word = 0;
    for (int j = 0; j < per_word; ++j)
      word |= static_cast<std::uint32_t>(*code++ + offset) << (j * bits);
    std::memcpy(part.data() + begin + 4 * i, &word, 4);
  }
}

void append_bytes(const void* data, std::size_t size, std::vector<std::byte>& part) {
  const auto* bytes = static_cast<const std::byte*>(data);
  part.insert(part.end(), bytes, bytes + size);
}

void pack_rows(const QuantTensor& slice, bool first_slice, std::int64_t total_rows,
               std::vector<std::vector<std::byte>>& parts) {
  const bool packed = parts.size() == 3;
  if (packed) {
    append_packed(slice, parts[0]);
  } else {
    append_bytes(slice.codes.data(), slice.codes.size(), parts[0]);
  }
  if (slice.scheme.granularity != Granularity::kTensor || first_slice) {
    const std::size_t begin = parts[1].size();
    const auto width = static_cast<std::size_t>(dtype_row(slice.scheme.scale_dtype).size_bytes);
    parts[1].resize(begin + slice.scales.size() * width);
    encode_plain(slice.scheme.scale_dtype, slice.scales.data(),
                 static_cast<std::int64_t>(slice.scales.size()), parts[1].data() + begin);
  }
  if (packed && first_slice) {
    const std::array<std::int64_t, 2> shape = {total_rows, slice.cols};
    append_bytes(shape.data(), sizeof(shape), parts[2]);
  }
}

}  // namespace

constinit const Dialect kCompressedTensors = {
    .name = compressed_tensors::kName,
    .recognises = compressed_tensors::recognises,
    .read_config = compressed_tensors::read_config,
    .unpack = unpack,
    .cannot_hold = cannot_hold,
    .plan = plan,
    .pack_rows = pack_rows,
    .write_config = compressed_tensors::write_config,
};

}  // namespace quantlane
