// The writing half of compressed-tensors.
#include <array>
#include <utility>

#include "containers/dialects/bit_runs.h"
#include "containers/dialects/compressed_tensors_parts.h"
#include "containers/dialects/packed_parts.h"
#include "core/check.h"

namespace quantlane::compressed_tensors {
namespace {

void complete(LinearScheme& scheme, DType) {
  // The library decodes NVFP4 to bf16.
  if (scheme.weight.tensor_scale != TensorScale::kNone) scheme.weight.rounding.value = DType::kBF16;
}

std::optional<std::string> cannot_hold(const LinearScheme& scheme, std::int64_t,
                                       std::int64_t cols) {
  const Scheme& w = scheme.weight;
  const Layout layout = layout_of(scheme);
  if (w.type == ValueType::kNormalFloat) return "it has no NF4";
  if (w.act_order) return "engines gave up columns in the order of activations";
  if (w.tensor_scale == TensorScale::kMultiplies ||
      (scheme.input && scheme.input->tensor_scale == TensorScale::kMultiplies))
    return "its scale of the tensor is a divisor";
  if (w.granularity == Granularity::kGroup && cols % w.group_size != 0) {
    return "the group size " + std::to_string(w.group_size) + " does not divide " +
           std::to_string(cols) + " columns";
  }
  if (layout == Layout::kFloat && w.granularity == Granularity::kGroup) {
    return "engines read FP8 in groups with E8M0 scales only (mxfp8)";
  }
  if (layout == Layout::kFloat && w.bits == 4) return "its FP4 is nvfp4 or mxfp4";
  if (layout == Layout::kInt && !w.symmetric) {
    return "engines read asymmetric integers without rounded activations only";
  }
  if (layout == Layout::kPacked && cols % BitRuns::dense(w.bits).values != 0) {
    return std::to_string(cols) + " columns of " + std::to_string(w.bits) +
           " bits do not fill whole 32-bit words";
  }
  return std::nullopt;
}

std::int64_t row_multiple(const LinearScheme& scheme) {
  const Scheme& w = scheme.weight;
  const bool packs_zeros = layout_of(scheme) == Layout::kPacked && !w.symmetric;
  return packs_zeros ? BitRuns::dense(w.bits).values : w.block_rows;
}

DType scale_type(const Scheme& w) {
  return w.scale_dtype == DType::kF8E8M0 ? DType::kU8 : w.scale_dtype;
}

std::vector<PlannedPart> plan(std::string_view module, const LinearScheme& scheme,
                              std::int64_t rows, std::int64_t cols) {
  const Scheme& w = scheme.weight;
  const Layout layout = layout_of(scheme);
  std::vector<PlannedPart> parts;
  const auto add = [&](std::string_view suffix, DType type, std::vector<std::int64_t> shape,
                       SliceAxis axis) {
    parts.push_back(planned_part(module, suffix, type, std::move(shape), axis));
  };
  const bool per_tensor = w.granularity == Granularity::kTensor;
  const std::int64_t groups = w.groups_per_row(cols);
  const BitRuns runs = BitRuns::dense(w.bits);
  if (layout == Layout::kPacked) {
    add("weight_packed", DType::kI32, {rows, runs.words_for(cols)}, SliceAxis::kRows);
  } else if (w.bits == 4 && w.type == ValueType::kFloat) {
    add("weight_packed", DType::kU8, {rows, cols / 2}, SliceAxis::kRows);
  } else {
    add("weight", layout == Layout::kInt ? DType::kI8 : DType::kF8E4M3, {rows, cols},
        SliceAxis::kRows);
  }
  add("weight_scale", scale_type(w),
      per_tensor ? std::vector<std::int64_t>{1}
                 : std::vector<std::int64_t>{w.scale_count(rows, cols) / groups, groups},
      per_tensor ? SliceAxis::kWhole : SliceAxis::kRows);
  if (layout == Layout::kPacked && !w.symmetric) {
    add("weight_zero_point", DType::kI32, {runs.words_for(rows), groups}, SliceAxis::kRows);
  }
  if (layout == Layout::kPacked) add("weight_shape", DType::kI64, {2}, SliceAxis::kWhole);
  if (layout == Layout::kNvfp4) add("weight_global_scale", DType::kF32, {1}, SliceAxis::kWhole);
  if (scheme.input && !scheme.input->dynamic) {
    add("input_scale", scheme.input->static_dtype, {1}, SliceAxis::kWhole);
  } else if (scheme.input && scheme.input->calibrated()) {
    add("input_global_scale", DType::kF32, {1}, SliceAxis::kWhole);
  }
  return parts;
}

std::vector<std::byte> pack_integers(const QuantTensor& slice) {
  const BitRuns runs = BitRuns::dense(slice.scheme.bits);
  const std::int64_t words = runs.words_for(slice.cols);
  const int offset = slice.scheme.symmetric ? 1 << (slice.scheme.bits - 1) : 0;
  std::vector<std::byte> part(static_cast<std::size_t>(4 * words * slice.rows));
  std::vector<std::uint8_t> row(static_cast<std::size_t>(slice.cols));
  for (std::int64_t r = 0; r < slice.rows; ++r) {
    const std::int8_t* codes = slice.codes.data() + r * slice.cols;
    for (std::size_t c = 0; c < row.size(); ++c)
      row[c] = static_cast<std::uint8_t>(codes[c] + offset);
    pack_codes(runs, row.data(), slice.cols, part.data() + 4 * r * words, 1);
  }
  return part;
}

std::vector<std::byte> pack_zeros(const QuantTensor& slice) {
  const BitRuns runs = BitRuns::dense(slice.scheme.bits);
  const std::int64_t groups = slice.scheme.groups_per_row(slice.cols);
  std::vector<std::byte> part(static_cast<std::size_t>(4 * runs.words_for(slice.rows) * groups));
  std::vector<std::uint8_t> column(static_cast<std::size_t>(slice.rows));
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::size_t r = 0; r < column.size(); ++r) {
      column[r] = static_cast<std::uint8_t>(
          slice.zeros[r * static_cast<std::size_t>(groups) + static_cast<std::size_t>(g)]);
    }
    pack_codes(runs, column.data(), slice.rows, part.data() + 4 * g, groups);
  }
  return part;
}

std::vector<std::vector<std::byte>> pack(const LinearScheme& scheme, const QuantTensor& slice,
                                         std::int64_t total_rows) {
  const Layout layout = layout_of(scheme);
  std::vector<std::vector<std::byte>> parts;
  if (layout == Layout::kPacked) {
    parts.push_back(pack_integers(slice));
  } else if (slice.scheme.bits == 4 && slice.scheme.type == ValueType::kFloat) {
    parts.push_back(nibble_part(slice));
  } else {
    parts.push_back(raw_part(slice.codes.data(), slice.codes.size()));
  }
  parts.push_back(float_part(scheme.weight.scale_dtype, slice.scales));
  if (layout == Layout::kPacked && !slice.scheme.symmetric) parts.push_back(pack_zeros(slice));
  if (layout == Layout::kPacked) {
    const std::array<std::int64_t, 2> shape = {total_rows, slice.cols};
    parts.push_back(raw_part(shape.data(), sizeof(shape)));
  }
  if (layout == Layout::kNvfp4) parts.push_back(float_part(DType::kF32, {&slice.tensor_scale, 1}));
  if (scheme.input && scheme.input->calibrated()) {
    const DType type = scheme.input->dynamic ? DType::kF32 : scheme.input->static_dtype;
    parts.push_back(float_part(type, {&scheme.input->static_scale, 1}));
  }
  return parts;
}

}  // namespace

constinit const DialectWriter kWriter = {
    .complete = complete,
    .cannot_hold = cannot_hold,
    .row_multiple = row_multiple,
    .plan = plan,
    .pack = pack,
    .write_config = write_config,
    .write_groups = write_groups,
    .set_kv = set_kv,
    .key_scale = "k_scale",
    .value_scale = "v_scale",
    .any_scale_type = true,
};

}  // namespace quantlane::compressed_tensors
