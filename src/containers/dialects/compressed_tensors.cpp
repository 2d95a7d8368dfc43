#include "containers/dialects/compressed_tensors.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "containers/dialects/bit_runs.h"
#include "containers/dialects/compressed_tensors_parts.h"
#include "containers/dialects/scaled_codes.h"
#include "containers/tensor_size.h"
#include "core/check.h"

namespace quantlane {
namespace {

using compressed_tensors::kName;

// The tensors of one Linear, checked; absent ones are null. Codes are "weight" or "weight_packed",
// the factor is "weight_global_scale", the input "input_scale" or "input_global_scale".
struct Found : ScaledCodes {
  const TensorInfo* zero = nullptr;
  const TensorInfo* order = nullptr;
  const TensorInfo* input_zero = nullptr;
  BitRuns runs{};  // of packed integers
};

// Which layout of odd widths the words of a packed matrix have.
BitRuns runs_of(const TensorInfo* packed, int bits, std::int64_t cols) {
  const BitRuns padded = BitRuns::padded(bits);
  return packed != nullptr && packed->cols() == padded.words_for(cols) ? padded
                                                                       : BitRuns::dense(bits);
}

// What packing loses; absent in files of other writers.
Result<void> check_shape(const LinearTensors& tensors, std::int64_t rows, std::int64_t cols) {
  if (!tensors.has("weight_shape")) return {};
  QUANTLANE_TRY(const TensorInfo* shape,
                tensors.require("weight_shape", {DType::kI64, DType::kI32}, {2}));
  std::vector<std::int64_t> stored(2);
  const std::byte* bytes = tensors.bytes(*shape).data();
  for (std::size_t i = 0; i < 2; ++i) {
    if (shape->type.plain == DType::kI64) {
      std::memcpy(&stored[i], bytes + 8 * i, 8);
    } else {
      std::int32_t extent = 0;
      std::memcpy(&extent, bytes + 4 * i, 4);
      stored[i] = extent;
    }
  }
  const std::vector<std::int64_t> wanted = {rows, cols};
  if (stored == wanted) return {};
  return fail(tensors.wrong(*shape)
                  .expects("the shape " + shape_text(wanted) + " of the weight")
                  .got(shape_text(stored))
                  .advise("the tensors of this module are of different matrices, or config.json "
                          "is of another model: copy or download the checkpoint again"));
}

Result<void> find_packed(const LinearTensors& tensors, const Scheme& scheme, std::int64_t rows,
                         std::int64_t cols, Found& found) {
  found.runs = runs_of(tensors.find("weight_packed"), scheme.bits, cols);
  QUANTLANE_TRY(found.codes, tensors.require("weight_packed", {DType::kI32},
                                             {rows, found.runs.words_for(cols)}));
  QUANTLANE_TRY_VOID(check_shape(tensors, rows, cols));
  if (!scheme.symmetric) {
    QUANTLANE_TRY(found.zero,
                  tensors.require("weight_zero_point", {DType::kI32},
                                  {found.runs.words_for(rows), scheme.groups_per_row(cols)}));
  }
  if (scheme.act_order || tensors.has("weight_g_idx")) {
    QUANTLANE_TRY(found.order, tensors.require("weight_g_idx", {DType::kI32}, {cols}));
  }
  return {};
}

// Early writers store zero points with symmetric codes as well, all of them 0.
Result<void> check_symmetric(const LinearTensors& tensors, const Scheme& weight) {
  const TensorInfo* zero = tensors.find("weight_zero_point");
  if (zero == nullptr || !weight.symmetric) return {};
  constexpr std::byte kPackedZeros{0x88};  // of 4 bits, each from -8 on
  const auto bytes = tensors.bytes(*zero);
  const auto is_zero = [](std::byte b) { return b == std::byte{0} || b == kPackedZeros; };
  if (std::ranges::all_of(bytes, is_zero)) return {};
  return fail(tensors.wrong(*zero)
                  .expects("no zero points, as \"symmetric\": true says")
                  .got("some that are not 0")
                  .advise("set \"symmetric\" to false in config.json, if that is what they are"));
}

Result<Found> find(const LinearTensors& tensors, const LinearScheme& scheme, std::int64_t rows,
                   std::int64_t cols) {
  const Scheme& weight = scheme.weight;
  if (weight.granularity == Granularity::kGroup && cols % weight.group_size != 0) {
    return fail(tensors.wrong_module()
                    .expects("a width that the group size " + std::to_string(weight.group_size) +
                             " divides")
                    .got(std::to_string(cols) + " columns"));
  }
  Found found;
  QUANTLANE_TRY_VOID(find_scales(tensors, weight, rows, cols, "weight_global_scale", found));
  const bool bytes = weight.type == ValueType::kInt && tensors.has("weight");
  if (bytes && !weight.symmetric) {
    Error error = tensors.wrong_module();
    error.code = ErrorCode::kUnsupported;
    return fail(std::move(error).expects("symmetric 8-bit weights").got("\"symmetric\": false"));
  }
  QUANTLANE_TRY_VOID(check_symmetric(tensors, weight));
  if (bytes) {
    QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kI8}, {rows, cols}));
  } else if (weight.type == ValueType::kInt) {
    QUANTLANE_TRY_VOID(find_packed(tensors, weight, rows, cols, found));
  } else if (weight.bits == 4) {
    QUANTLANE_TRY(found.codes, tensors.require("weight_packed", {DType::kU8}, {rows, cols / 2}));
  } else {
    QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kF8E4M3}, {rows, cols}));
  }
  if (scheme.input && !scheme.input->dynamic) {
    QUANTLANE_TRY(found.input, tensors.require("input_scale", kPlainScaleTypes, {1}));
    if (!scheme.input->symmetric) {
      QUANTLANE_TRY(found.input_zero, tensors.require("input_zero_point", {DType::kI8}, {1}));
    }
  } else if (scheme.input && scheme.input->calibrated()) {
    QUANTLANE_TRY(found.input, tensors.require("input_global_scale", {DType::kF32}, {1}));
  }
  return found;
}

void read_packed(const LinearTensors& tensors, const Found& found, QuantTensor& tensor) {
  const std::byte* words = tensors.bytes(*found.codes).data();
  const std::int64_t stride = found.runs.words_for(tensor.cols);
  const int offset = tensor.scheme.symmetric ? 1 << (tensor.scheme.bits - 1) : 0;
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    std::int8_t* codes = tensor.codes.data() + r * tensor.cols;
    unpack_codes(found.runs, words + 4 * r * stride, 1, tensor.cols,
                 reinterpret_cast<std::uint8_t*>(codes));
    for (std::int64_t c = 0; c < tensor.cols; ++c)
      codes[c] = static_cast<std::int8_t>(static_cast<std::uint8_t>(codes[c]) - offset);
  }
}

// Packed along the rows, group by group.
void read_zeros(const LinearTensors& tensors, const Found& found, QuantTensor& tensor) {
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  const std::byte* words = tensors.bytes(*found.zero).data();
  std::vector<std::uint8_t> column(static_cast<std::size_t>(tensor.rows));
  tensor.zeros.resize(static_cast<std::size_t>(tensor.rows * groups));
  for (std::int64_t g = 0; g < groups; ++g) {
    unpack_codes(found.runs, words + 4 * g, groups, tensor.rows, column.data());
    for (std::int64_t r = 0; r < tensor.rows; ++r) {
      tensor.zeros[static_cast<std::size_t>(r * groups + g)] =
          static_cast<std::int8_t>(column[static_cast<std::size_t>(r)]);
    }
  }
}

// One byte holds each code, of fewer bits too.
Result<void> check_range(const LinearTensors& tensors, const Found& found,
                         const QuantTensor& tensor) {
  if (found.codes->type.plain != DType::kI8) return {};
  const int above = 1 << (tensor.scheme.bits - 1);
  const auto outside = std::ranges::find_if(
      tensor.codes, [above](int code) { return code < -above || code >= above; });
  if (outside == tensor.codes.end()) return {};
  return fail(tensors.wrong(*found.codes)
                  .expects("integers of " + std::to_string(tensor.scheme.bits) +
                           " bits, as \"num_bits\" says")
                  .got(std::to_string(int{*outside}))
                  .advise("correct \"num_bits\" in config.json"));
}

// Of codes that could hold more than the scheme says: bytes of fewer than 8 bits.
Result<void> verify_values(const Container& container, std::string_view module,
                           const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme, rows, cols));
  StoredLinear linear = empty_linear(scheme, rows, cols);
  if (found.codes->type.plain == DType::kI8 && scheme.weight.bits < 8) {
    linear.weight.codes = byte_codes(tensors.bytes(*found.codes));
    QUANTLANE_TRY_VOID(check_range(tensors, found, linear.weight));
  }
  return {};
}

void read_codes(const LinearTensors& tensors, const Found& found, QuantTensor& tensor) {
  const auto bytes = tensors.bytes(*found.codes);
  if (found.codes->type.plain == DType::kI32) {
    tensor.codes.resize(static_cast<std::size_t>(tensor.rows * tensor.cols));
    read_packed(tensors, found, tensor);
  } else {
    tensor.codes = found.codes->type.plain == DType::kU8 ? nibble_codes(bytes) : byte_codes(bytes);
  }
}

Result<void> verify(const Container& container, std::string_view module, const LinearScheme& scheme,
                    std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY_VOID(find(LinearTensors(container, module, kName), scheme, rows, cols));
  return {};
}

Result<StoredLinear> unpack(const Container& container, std::string_view module,
                            const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme, rows, cols));
  StoredLinear linear = empty_linear(scheme, rows, cols);
  QuantTensor& tensor = linear.weight;
  QUANTLANE_TRY_VOID(read_all_scales(tensors, found, linear));
  read_codes(tensors, found, tensor);
  QUANTLANE_TRY_VOID(check_range(tensors, found, tensor));
  if (found.zero != nullptr) read_zeros(tensors, found, tensor);
  if (found.order != nullptr) {
    const std::int64_t groups = tensor.scheme.groups_per_row(cols);
    QUANTLANE_TRY(tensor.group_of_column, tensors.group_order(*found.order, groups, cols / groups));
  }
  if (found.input_zero != nullptr)
    linear.input->static_zero = std::to_integer<std::int8_t>(tensors.bytes(*found.input_zero)[0]);
  return linear;
}

}  // namespace

constinit const Dialect kCompressedTensors = {
    .name = kName,
    .recognises = compressed_tensors::recognises,
    .read_map = compressed_tensors::read_map,
    .verify = verify,
    .unpack = unpack,
    .writer = &compressed_tensors::kWriter,
    .verify_values = verify_values,
};

}  // namespace quantlane
