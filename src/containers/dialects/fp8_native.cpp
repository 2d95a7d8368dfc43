#include "containers/dialects/fp8_native.h"

#include <array>
#include <cstring>
#include <utility>

#include "containers/dialects/module_patterns.h"
#include "containers/dialects/packed_parts.h"
#include "containers/dialects/scaled_codes.h"
#include "core/check.h"
#include "core/json_members.h"

namespace quantlane {
namespace {

constexpr std::string_view kName = "fp8";
constexpr std::int64_t kLargestBlock = 1 << 20;

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

class Map final : public QuantizationMap {
 public:
  explicit Map(const Container& container) : container_(container) {}
  LinearScheme scheme;
  ModulePatterns kept;
  ModulePatterns ignored;

  [[nodiscard]] bool keeps_plain(std::string_view module) const override {
    return kept.matches(module) || ignored.matches(module);
  }
  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    const TensorInfo* weight = container_.find(std::string(module) + ".weight");
    const bool quantized =
        weight != nullptr && weight->type == ElementType{.plain = DType::kF8E4M3};
    return quantized ? std::optional(scheme) : std::nullopt;
  }

 private:
  const Container& container_;
};

// Two positive extents, or 0 x 0 when there are no blocks.
Result<std::array<int, 2>> read_blocks(const JsonMembers& config) {
  constexpr std::string_view kKey = "weight_block_size";
  std::array<int, 2> extents{};
  if (!config.has(kKey)) return extents;
  const Json::Array& items = config.json()[kKey].items();
  bool fits = items.size() == extents.size();
  for (std::size_t i = 0; fits && i < extents.size(); ++i) {
    const std::int64_t extent = items[i].integer();
    fits = extent >= 1 && extent <= kLargestBlock;
    if (fits) extents[i] = static_cast<int>(extent);
  }
  if (fits) return extents;
  return fail(config.wrong(kKey)
                  .expects("two integers from 1 to " + std::to_string(kLargestBlock) +
                           ", the rows and columns of a block")
                  .advise("write the block that weight_scale_inv has one scale for, [128, 128] in "
                          "most models; or remove the key if tensors have one scale each"));
}

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  QUANTLANE_TRY(const JsonMembers config,
                JsonMembers::of(source.config, "reading the FP8 configuration", source.origin));
  QUANTLANE_TRY_VOID(config.word("fmt", "e4m3", {"e4m3", "float8_e4m3fn"}));
  // "ue8m0": inputs under scales that are powers of two.
  QUANTLANE_TRY_VOID(config.word("scale_fmt", "float", {"float"}));
  QUANTLANE_TRY(const std::string_view activations,
                config.word("activation_scheme", "dynamic", {"dynamic", "static"}));
  QUANTLANE_TRY(const auto block, read_blocks(config));
  auto map = std::make_unique<Map>(source.container);
  QUANTLANE_TRY(map->kept,
                ModulePatterns::read(config, "modules_to_not_convert", PatternStyle::kParts));
  QUANTLANE_TRY(map->ignored, ModulePatterns::read(config, "ignored_layers", PatternStyle::kParts));
  Scheme& weight = map->scheme.weight;
  weight = {.type = ValueType::kFloat,
            .bits = 8,
            .granularity = Granularity::kTensor,
            .scale_dtype = DType::kF32};
  ActivationScheme input{.type = ValueType::kFloat};
  if (block[0] > 0) {
    if (activations != "dynamic") {
      return fail(config.refused("activation_scheme")
                      .expects("\"dynamic\", as \"weight_block_size\" asks for"));
    }
    weight.granularity = Granularity::kBlock;
    weight.block_rows = block[0];
    weight.group_size = block[1];
    input.granularity = Granularity::kGroup;
    input.group_size = weight.group_size;
  } else if (activations == "static") {
    input.granularity = Granularity::kTensor;
    input.dynamic = false;
  }
  map->scheme.input = input;
  return map;
}

Result<ScaledCodes> find(const LinearTensors& tensors, const LinearScheme& scheme,
                         std::int64_t rows, std::int64_t cols) {
  const Scheme& weight = scheme.weight;
  ScaledCodes found;
  QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kF8E4M3}, {rows, cols}));
  const std::int64_t groups = weight.groups_per_row(cols);
  const bool blocks = weight.granularity == Granularity::kBlock;
  QUANTLANE_TRY(found.scale,
                tensors.require(blocks ? "weight_scale_inv" : "weight_scale", kPlainScaleTypes,
                                {weight.scale_count(rows, cols) / groups, groups}));
  QUANTLANE_TRY_VOID(find_input_scale(tensors, scheme, found));
  return found;
}

Result<void> verify(const Container& container, std::string_view module, const LinearScheme& scheme,
                    std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY_VOID(find(LinearTensors(container, module, kName), scheme, rows, cols));
  return {};
}

Result<StoredLinear> unpack(const Container& container, std::string_view module,
                            const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const ScaledCodes found, find(tensors, scheme, rows, cols));
  return read_scaled_codes(tensors, found, scheme, rows, cols);
}

// ---- writing ----

void complete(LinearScheme& scheme, DType) { scheme.weight.scale_dtype = DType::kF32; }

std::optional<std::string> cannot_hold(const LinearScheme& scheme, std::int64_t rows,
                                       std::int64_t cols) {
  const Scheme& w = scheme.weight;
  if (w.type != ValueType::kFloat || w.bits != 8) return "it holds FP8 only";
  if (!scheme.input || scheme.input->type != ValueType::kFloat || scheme.input->bits != 8) {
    return "its inputs are rounded to FP8";
  }
  const ActivationScheme& input = *scheme.input;
  if (w.granularity == Granularity::kTensor && input.granularity != Granularity::kGroup) {
    return std::nullopt;
  }
  if (w.granularity == Granularity::kBlock && input.granularity == Granularity::kGroup &&
      input.group_size == w.group_size && input.scale_dtype == DType::kF32) {
    // Engines load such files and fail in the first product, or refuse the fused shards.
    if (rows % w.block_rows != 0 || cols % w.group_size != 0) {
      return std::to_string(rows) + " x " + std::to_string(cols) +
             " is not made of whole blocks of " + std::to_string(w.block_rows) + " x " +
             std::to_string(w.group_size);
    }
    return std::nullopt;
  }
  return "its scales belong to blocks (with inputs in groups as wide) or to the tensor";
}

std::int64_t row_multiple(const LinearScheme& scheme) { return scheme.weight.block_rows; }

std::vector<PlannedPart> plan(std::string_view module, const LinearScheme& scheme,
                              std::int64_t rows, std::int64_t cols) {
  const Scheme& w = scheme.weight;
  std::vector<PlannedPart> parts = {
      planned_part(module, "weight", DType::kF8E4M3, {rows, cols}, SliceAxis::kRows)};
  if (w.granularity == Granularity::kBlock) {
    const std::int64_t groups = w.groups_per_row(cols);
    parts.push_back(planned_part(module, "weight_scale_inv", w.scale_dtype,
                                 {w.scale_count(rows, cols) / groups, groups}, SliceAxis::kRows));
  } else {
    parts.push_back(planned_part(module, "weight_scale", w.scale_dtype, {}, SliceAxis::kWhole));
  }
  if (!scheme.input->dynamic) {
    parts.push_back(planned_part(module, "input_scale", DType::kF32, {}, SliceAxis::kWhole));
  }
  return parts;
}

std::vector<std::vector<std::byte>> pack(const LinearScheme& scheme, const QuantTensor& slice,
                                         std::int64_t) {
  std::vector<std::vector<std::byte>> parts = {raw_part(slice.codes.data(), slice.codes.size()),
                                               float_part(scheme.weight.scale_dtype, slice.scales)};
  if (!scheme.input->dynamic) {
    parts.push_back(float_part(DType::kF32, {&scheme.input->static_scale, 1}));
  }
  return parts;
}

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore) {
  Json config;
  config.set("quant_method", kName);
  config.set("activation_scheme", scheme.input->dynamic ? "dynamic" : "static");
  config.set("fmt", "e4m3");
  if (scheme.weight.granularity == Granularity::kBlock) {
    config.set("weight_block_size",
               Json::array().push(scheme.weight.block_rows).push(scheme.weight.group_size));
  }
  Json kept = Json::array();
  for (const std::string& module : ignore) kept.push(module);
  config.set("modules_to_not_convert", std::move(kept));
  return config;
}

constinit const DialectWriter kWriter = {.complete = complete,
                                         .cannot_hold = cannot_hold,
                                         .row_multiple = row_multiple,
                                         .plan = plan,
                                         .pack = pack,
                                         .write_config = write_config};

}  // namespace

constinit const Dialect kFp8Native = {.name = kName,
                                      .recognises = recognises,
                                      .read_map = read_map,
                                      .verify = verify,
                                      .unpack = unpack,
                                      .writer = &kWriter};

}  // namespace quantlane
