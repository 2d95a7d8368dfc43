#include "formats/scheme_moves.h"

#include <algorithm>

#include "core/check.h"
#include "formats/scale_storage.h"

namespace quantlane {
namespace {

std::int8_t middle(const Scheme& scheme) {
  return static_cast<std::int8_t>(1U << static_cast<unsigned>(scheme.bits - 1));
}

// Columns that share a scale of a row.
std::int64_t width_of(const Scheme& scheme, std::int64_t cols) {
  const bool grouped =
      scheme.granularity == Granularity::kGroup || scheme.granularity == Granularity::kBlock;
  return grouped ? scheme.group_size : cols;
}

// Does every scale of `target` lie within one of `source`?
bool refines(const Scheme& target, const Scheme& source, std::int64_t cols) {
  if (target.granularity == Granularity::kBlock || source.granularity == Granularity::kBlock) {
    return target.granularity == source.granularity && target.block_rows == source.block_rows &&
           target.group_size == source.group_size;
  }
  if (target.granularity == Granularity::kTensor) return source.granularity == Granularity::kTensor;
  const std::int64_t own = width_of(target, cols);
  const std::int64_t theirs = width_of(source, cols);
  return own > 0 && theirs % own == 0 && cols % own == 0;
}

// Of the scale of `source` above scale `index` of `target`.
std::int64_t source_index(const Scheme& target, const QuantTensor& tensor, std::int64_t index) {
  const Scheme& source = tensor.scheme;
  if (source.granularity == Granularity::kTensor) return 0;
  if (source.granularity == Granularity::kBlock) return index;
  const std::int64_t groups = target.groups_per_row(tensor.cols);
  const std::int64_t column = index % groups * width_of(target, tensor.cols);
  return source.first_scale(index / groups, tensor.cols) + column / width_of(source, tensor.cols);
}

}  // namespace

bool holds_scales(DType dtype, const QuantTensor& tensor) {
  return std::ranges::all_of(tensor.scales, [&](float scale) { return holds_scale(scale, dtype); });
}

bool holds_numbers(const Scheme& target, const QuantTensor& tensor) {
  return !obstacle_to_move(target, tensor).has_value();
}

std::optional<std::string> obstacle_to_move(const Scheme& target, const QuantTensor& tensor) {
  const Scheme& source = tensor.scheme;
  if (target.type != source.type || target.bits != source.bits)
    return "the codes are of another type or width";
  if (!tensor.group_of_column.empty())
    return "its groups are of columns in the order of their activations (act-order)";
  if (target.act_order || target.nested_scales)
    return target.act_order ? "the lane orders columns by their activations"
                            : "the lane quantizes the scales again";
  if ((target.tensor_scale == TensorScale::kNone) != (source.tensor_scale == TensorScale::kNone))
    return "only one of the two has a scale of the whole tensor";
  if (!refines(target, source, tensor.cols))
    return "a scale of the lane covers weights that have different ones in the source";
  if (target.symmetric && !source.symmetric &&
      !std::ranges::all_of(tensor.zeros, [&](std::int8_t z) { return z == middle(source); })) {
    return "it has zero points off the middle, the lane has none";
  }
  if (!holds_scales(target.scale_dtype, tensor)) {
    return "its scales (" + std::string(dtype_row(source.scale_dtype).name) +
           ") are no values of " + std::string(dtype_row(target.scale_dtype).name) +
           ", in which the lane stores them";
  }
  return std::nullopt;
}

std::optional<ActivationScheme> input_moved_to(const ActivationScheme& target,
                                               const ActivationScheme& stored) {
  ActivationScheme turned = stored;
  turned.static_dtype = target.static_dtype;
  if (target.same_kind(stored)) return turned;
  turned.tensor_scale = target.tensor_scale;
  const bool both =
      target.tensor_scale != TensorScale::kNone && stored.tensor_scale != TensorScale::kNone;
  if (!both || !target.same_kind(turned)) return std::nullopt;
  turned.static_scale = 1 / stored.static_scale;
  return turned;
}

QuantTensor moved_to(const Scheme& target, const QuantTensor& tensor) {
  QUANTLANE_CHECK(holds_numbers(target, tensor));
  const Scheme& source = tensor.scheme;
  QuantTensor moved{.scheme = target,
                    .rows = tensor.rows,
                    .cols = tensor.cols,
                    .codes = tensor.codes,
                    .scales = {},
                    .zeros = {},
                    .group_of_column = {},
                    .tensor_scale = tensor.tensor_scale};
  if (target.tensor_scale != source.tensor_scale) moved.tensor_scale = 1 / tensor.tensor_scale;
  if (target.symmetric != source.symmetric) {
    // -8..7 and 0..15 differ by the middle, that is by the highest bit of the code.
    const int shift = target.symmetric ? -int{1 << (source.bits - 1)} : int{1 << (source.bits - 1)};
    for (std::int8_t& code : moved.codes) {
      const int value = source.symmetric ? int{code} : int{static_cast<std::uint8_t>(code)};
      code = static_cast<std::int8_t>(value + shift);
    }
  }
  const std::int64_t count = target.scale_count(tensor.rows, tensor.cols);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto from = static_cast<std::size_t>(source_index(target, tensor, i));
    moved.scales.push_back(tensor.scales[from]);
    if (!target.symmetric)
      moved.zeros.push_back(source.symmetric ? middle(target) : tensor.zeros[from]);
  }
  return moved;
}

}  // namespace quantlane
