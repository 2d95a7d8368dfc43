// The writing half of GPTQ.
#include <string>

#include "containers/dialects/bit_runs.h"
#include "containers/dialects/gptq_parts.h"
#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/packed_parts.h"
#include "core/check.h"

namespace quantlane::gptq {
namespace {

void complete(LinearScheme& scheme, DType model_dtype) {
  scheme.weight.scale_dtype = DType::kF16;
  scheme.weight.rounding = {.scale = model_dtype, .value = model_dtype};
}

std::optional<std::string> cannot_hold(const LinearScheme& scheme, std::int64_t rows,
                                       std::int64_t cols) {
  const Scheme& w = scheme.weight;
  if (w.type != ValueType::kInt) return "it holds integers only";
  if (w.bits != 2 && w.bits != 3 && w.bits != 4 && w.bits != 8) return "it has 2, 3, 4 or 8 bits";
  if (scheme.input) return "its inputs are not rounded";
  if (w.granularity != Granularity::kGroup && w.granularity != Granularity::kChannel) {
    return "its scales belong to groups or rows";
  }
  if (w.granularity == Granularity::kGroup && cols % w.group_size != 0) {
    return "the group size " + std::to_string(w.group_size) + " does not divide " +
           std::to_string(cols) + " columns";
  }
  const int values = BitRuns::dense(w.bits).values;
  if (cols % values != 0 || rows % values != 0) {
    return std::to_string(rows) + " x " + std::to_string(cols) + " codes of " +
           std::to_string(w.bits) + " bits do not fill whole 32-bit words";
  }
  return std::nullopt;
}

std::optional<std::string> cannot_hold_v1(const LinearScheme& scheme, std::int64_t rows,
                                          std::int64_t cols) {
  if (!scheme.weight.symmetric) {
    return "engines read a zero point of 0 as 2^bits (checkpoint_format \"gptq\"); gptq_v2 holds "
           "asymmetric weights";
  }
  return cannot_hold(scheme, rows, cols);
}

std::int64_t row_multiple(const LinearScheme& scheme) {
  return BitRuns::dense(scheme.weight.bits).values;
}

std::vector<PlannedPart> plan(std::string_view module, const LinearScheme& scheme,
                              std::int64_t rows, std::int64_t cols) {
  const BitRuns runs = BitRuns::dense(scheme.weight.bits);
  const std::int64_t groups = scheme.weight.groups_per_row(cols);
  return {planned_part(module, "qweight", DType::kI32, {runs.words_for(cols), rows},
                       SliceAxis::kColumns),
          planned_part(module, "qzeros", DType::kI32, {groups, runs.words_for(rows)},
                       SliceAxis::kColumns),
          planned_part(module, "scales", scheme.weight.scale_dtype, {groups, rows},
                       SliceAxis::kColumns),
          planned_part(module, "g_idx", DType::kI32, {cols}, SliceAxis::kWhole)};
}

std::vector<std::byte> pack_weight(const QuantTensor& slice) {
  const BitRuns runs = BitRuns::dense(slice.scheme.bits);
  const int middle = slice.scheme.symmetric ? 1 << (slice.scheme.bits - 1) : 0;
  std::vector<std::byte> part(
      static_cast<std::size_t>(4 * runs.words_for(slice.cols) * slice.rows));
  std::vector<std::uint8_t> row(static_cast<std::size_t>(slice.cols));
  for (std::int64_t r = 0; r < slice.rows; ++r) {
    const std::int8_t* codes = slice.codes.data() + r * slice.cols;
    for (std::size_t c = 0; c < row.size(); ++c)
      row[c] = static_cast<std::uint8_t>(codes[c] + middle);
    pack_codes(runs, row.data(), slice.cols, part.data() + 4 * r, slice.rows);
  }
  return part;
}

std::vector<std::byte> pack_zeros(const QuantTensor& slice, int offset) {
  const BitRuns runs = BitRuns::dense(slice.scheme.bits);
  const auto groups = static_cast<std::size_t>(slice.scheme.groups_per_row(slice.cols));
  const int mask = (1 << slice.scheme.bits) - 1;
  const int middle = 1 << (slice.scheme.bits - 1);
  const std::int64_t words = runs.words_for(slice.rows);
  std::vector<std::byte> part(4 * static_cast<std::size_t>(words) * groups);
  std::vector<std::uint8_t> line(static_cast<std::size_t>(slice.rows));
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t r = 0; r < line.size(); ++r) {
      const int zero =
          slice.scheme.symmetric ? middle : static_cast<std::uint8_t>(slice.zeros[r * groups + g]);
      line[r] = static_cast<std::uint8_t>((zero - offset) & mask);
    }
    pack_codes(runs, line.data(), slice.rows, part.data() + 4 * g * static_cast<std::size_t>(words),
               1);
  }
  return part;
}

std::vector<std::byte> pack_order(const QuantTensor& slice) {
  const std::int64_t groups = slice.scheme.groups_per_row(slice.cols);
  const std::int64_t length = groups == 1 ? slice.cols : slice.scheme.group_size;
  std::vector<std::int32_t> order = slice.group_of_column;
  for (std::int64_t c = 0; order.size() < static_cast<std::size_t>(slice.cols); ++c) {
    order.push_back(static_cast<std::int32_t>(c / length));
  }
  return raw_part(order.data(), 4 * order.size());
}

template <int kOffset>
std::vector<std::vector<std::byte>> pack(const LinearScheme& scheme, const QuantTensor& slice,
                                         std::int64_t) {
  const std::int64_t groups = slice.scheme.groups_per_row(slice.cols);
  return {pack_weight(slice), pack_zeros(slice, kOffset),
          float_part(scheme.weight.scale_dtype, transposed(slice.scales, slice.rows, groups)),
          pack_order(slice)};
}

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore,
                  std::string_view format) {
  const Scheme& w = scheme.weight;
  Json config;
  config.set("quant_method", "gptq");
  config.set("bits", w.bits);
  config.set("group_size", w.granularity == Granularity::kChannel ? -1 : w.group_size);
  config.set("desc_act", w.act_order);
  config.set("sym", w.symmetric);
  config.set("lm_head", false);
  config.set("checkpoint_format", format);
  config.set("pack_dtype", "int32");
  Json dynamic = Json(Json::Object{});
  for (const std::string& module : ignore) {
    if (module != "lm_head")
      dynamic.set("-:^" + escaped_expression(module) + "$", Json(Json::Object{}));
  }
  if (!dynamic.members().empty()) config.set("dynamic", std::move(dynamic));
  return config;
}

Json write_config_v1(const LinearScheme& scheme, std::span<const std::string> ignore) {
  return write_config(scheme, ignore, "gptq");
}
Json write_config_v2(const LinearScheme& scheme, std::span<const std::string> ignore) {
  return write_config(scheme, ignore, "gptq_v2");
}

Json same_config(const Json& config) { return config; }

}  // namespace

constinit const DialectWriter kWriterV1 = {.complete = complete,
                                           .cannot_hold = cannot_hold_v1,
                                           .row_multiple = row_multiple,
                                           .plan = plan,
                                           .pack = pack<kZeroOffsetV1>,
                                           .write_config = write_config_v1,
                                           .to_side_file = same_config};

constinit const DialectWriter kWriterV2 = {.complete = complete,
                                           .cannot_hold = cannot_hold,
                                           .row_multiple = row_multiple,
                                           .plan = plan,
                                           .pack = pack<kZeroOffsetV2>,
                                           .write_config = write_config_v2,
                                           .to_side_file = same_config};

}  // namespace quantlane::gptq
