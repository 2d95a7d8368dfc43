// The writing half of AutoAWQ.
#include <cstring>
#include <string>
#include <utility>

#include "containers/dialects/awq_parts.h"
#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/packed_parts.h"

namespace quantlane::awq {
namespace {

// AutoAWQ computes in binary16, whatever the model.
void complete(LinearScheme& scheme, DType) {
  scheme.weight.scale_dtype = DType::kF16;
  scheme.weight.rounding = {.scale = DType::kF16, .value = DType::kF16};
}

std::optional<std::string> cannot_hold(const LinearScheme& scheme, std::int64_t rows,
                                       std::int64_t cols) {
  const Scheme& w = scheme.weight;
  if (w.type != ValueType::kInt || w.bits != kBits) return "it holds 4-bit integers only";
  if (w.symmetric) return "AutoAWQ's layout has no symmetric weights";
  if (scheme.input) return "its inputs are not rounded";
  if (w.act_order) return "its columns are in their order";
  if (w.granularity != Granularity::kGroup) return "its scales belong to groups";
  if (cols % w.group_size != 0) {
    return "the group size " + std::to_string(w.group_size) + " does not divide " +
           std::to_string(cols) + " columns";
  }
  if (rows % 8 != 0) return std::to_string(rows) + " rows do not fill whole 32-bit words";
  return std::nullopt;
}

std::int64_t row_multiple(const LinearScheme&) { return 8; }

std::vector<PlannedPart> plan(std::string_view module, const LinearScheme& scheme,
                              std::int64_t rows, std::int64_t cols) {
  const std::int64_t groups = scheme.weight.groups_per_row(cols);
  return {planned_part(module, "qweight", DType::kI32, {cols, rows / 8}, SliceAxis::kColumns),
          planned_part(module, "qzeros", DType::kI32, {groups, rows / 8}, SliceAxis::kColumns),
          planned_part(module, "scales", scheme.weight.scale_dtype, {groups, rows},
                       SliceAxis::kColumns)};
}

// Values [rows, lines] into words [lines, rows / 8].
std::vector<std::byte> nibble_words(const std::vector<std::int8_t>& values, std::int64_t lines,
                                    std::int64_t rows) {
  std::vector<std::byte> words(static_cast<std::size_t>(lines * rows / 2));
  for (std::int64_t block = 0; block < rows / 8; ++block) {
    for (std::int64_t line = 0; line < lines; ++line) {
      std::uint32_t word = 0;
      for (int i = 0; i < 8; ++i) {
        const std::int64_t row = 8 * block + kRowOfNibble[static_cast<std::size_t>(i)];
        const auto value =
            static_cast<std::uint8_t>(values[static_cast<std::size_t>(row * lines + line)]);
        word |= static_cast<std::uint32_t>(value & 15U) << (kBits * i);
      }
      std::memcpy(words.data() + 4 * (line * (rows / 8) + block), &word, 4);
    }
  }
  return words;
}

std::vector<std::vector<std::byte>> pack(const LinearScheme& scheme, const QuantTensor& slice,
                                         std::int64_t) {
  const std::int64_t groups = slice.scheme.groups_per_row(slice.cols);
  return {nibble_words(slice.codes, slice.cols, slice.rows),
          nibble_words(slice.zeros, groups, slice.rows),
          float_part(scheme.weight.scale_dtype, transposed(slice.scales, slice.rows, groups))};
}

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore) {
  Json kept = Json::array();
  for (const std::string& module : ignore) kept.push(module);
  return Json::object({{"quant_method", kName},
                       {"bits", kBits},
                       {"group_size", scheme.weight.group_size},
                       {"zero_point", true},
                       {"version", "gemm"},
                       {"modules_to_not_convert", std::move(kept)}});
}

Json to_side_file(const Json& config) {
  return Json::object({{"zero_point", true},
                       {"q_group_size", config["group_size"]},
                       {"w_bit", config["bits"]},
                       {"version", "GEMM"},
                       {"modules_to_not_convert", config["modules_to_not_convert"]}});
}

}  // namespace

constinit const DialectWriter kWriter = {.complete = complete,
                                         .cannot_hold = cannot_hold,
                                         .row_multiple = row_multiple,
                                         .plan = plan,
                                         .pack = pack,
                                         .write_config = write_config,
                                         .to_side_file = to_side_file};

}  // namespace quantlane::awq
