#include "containers/dialects/quark.h"

#include <memory>
#include <utility>

#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/module_patterns.h"
#include "core/check.h"

namespace quantlane {
namespace {

constexpr std::string_view kName = "quark";

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

Error bad_spec(const std::string& origin, std::string key, const Json& found) {
  return unsupported("reading the Quark configuration")
      .in(origin)
      .of(std::move(key))
      .got(found.dump());
}

// A list holds two stages, of which none is read.
Result<Scheme> read_weight(const Json& spec, const std::string& origin) {
  const std::string_view dtype = spec["dtype"].string();
  const std::string_view qscheme = spec["qscheme"].string();
  Scheme scheme{.scale_dtype = DType::kF32};
  const bool fp4 = dtype == "fp4";
  if (fp4 && qscheme == "per_group" && spec["scale_format"].string() == "e8m0" &&
      spec["group_size"].integer() == 32) {
    QUANTLANE_TRY(scheme, Scheme::parse("mxfp4"));
    return scheme;
  }
  const bool eight = dtype == "fp8_e4m3" || dtype == "int8";
  if (!eight || (qscheme != "per_tensor" && qscheme != "per_channel") ||
      !spec["symmetric"].boolean(true)) {
    return fail(
        bad_spec(origin, "weight", spec)
            .expects("fp8_e4m3 or symmetric int8 per tensor or channel, or fp4 per group of "
                     "32 with e8m0 scales"));
  }
  scheme.type = dtype == "int8" ? ValueType::kInt : ValueType::kFloat;
  scheme.bits = 8;
  scheme.granularity = qscheme == "per_tensor" ? Granularity::kTensor : Granularity::kChannel;
  return scheme;
}

Result<std::optional<ActivationScheme>> read_inputs(const Json& spec, const std::string& origin) {
  if (!spec.is_object()) return std::nullopt;
  const std::string_view dtype = spec["dtype"].string();
  const std::string_view qscheme = spec["qscheme"].string();
  const bool dynamic = spec["is_dynamic"].boolean();
  ActivationScheme scheme;
  if (dtype == "fp4" && dynamic && qscheme == "per_group" &&
      spec["scale_format"].string() == "e8m0" && spec["group_size"].integer() == 32) {
    QUANTLANE_TRY(scheme, ActivationScheme::parse("mxfp4"));
    return scheme;
  }
  scheme.type = dtype == "int8" ? ValueType::kInt : ValueType::kFloat;
  scheme.dynamic = dynamic;
  // Engines give dynamic inputs a scale per token, whichever of the two is written.
  scheme.granularity = dynamic ? Granularity::kToken : Granularity::kTensor;
  const bool known =
      (dtype == "fp8_e4m3" || dtype == "int8") &&
      (dynamic ? qscheme == "per_channel" || qscheme == "per_token" || qscheme == "per_tensor"
               : qscheme == "per_tensor");
  if (!known) {
    return fail(
        bad_spec(origin, "input_tensors", spec)
            .expects("fp8_e4m3 or int8, static per tensor or dynamic, or fp4 per group of 32"));
  }
  return scheme;
}

Result<std::optional<LinearScheme>> read_scheme(const Json& config, const std::string& origin) {
  if (!config["weight"].is_object()) {
    if (config["weight"].is_null()) return std::nullopt;
    return fail(bad_spec(origin, "weight", config["weight"]).expects("one specification"));
  }
  if (config["output_tensors"].is_object()) {
    return fail(bad_spec(origin, "output_tensors", config["output_tensors"])
                    .expects("outputs that are not rounded"));
  }
  LinearScheme scheme;
  QUANTLANE_TRY(scheme.weight, read_weight(config["weight"], origin));
  QUANTLANE_TRY(scheme.input, read_inputs(config["input_tensors"], origin));
  return scheme;
}

class Map final : public QuantizationMap {
 public:
  struct Layer {
    ModulePatterns pattern;
    std::optional<LinearScheme> scheme;
  };
  ModulePatterns exclude;
  std::vector<Layer> layers;
  std::optional<LinearScheme> global;

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    if (exclude.matches(module)) return std::nullopt;
    for (const Layer& layer : layers) {
      if (layer.pattern.matches(module)) return layer.scheme;
    }
    return global;
  }
};

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  const Json& config = source.config;
  auto map = std::make_unique<Map>();
  QUANTLANE_TRY(map->exclude, ModulePatterns::read(config["exclude"], PatternStyle::kTargets));
  for (const auto& [pattern, settings] : config["layer_quant_config"].members()) {
    Map::Layer layer;
    QUANTLANE_TRY(layer.pattern,
                  ModulePatterns::read(Json::array().push(pattern), PatternStyle::kGlobs));
    QUANTLANE_TRY(layer.scheme, read_scheme(settings, source.origin));
    map->layers.push_back(std::move(layer));
  }
  if (!config["layer_type_quant_config"].members().empty()) {
    const Json& linear = config["layer_type_quant_config"];
    return fail(bad_spec(source.origin, "layer_type_quant_config", linear).expects("none"));
  }
  for (const auto& [pattern, settings] : config["kv_cache_quant_config"].members()) {
    const Json& spec = settings.contains("output_tensors") ? settings["output_tensors"] : settings;
    const bool fp8 = spec["dtype"].string("fp8_e4m3") == "fp8_e4m3";
    if (fp8) map->kv_scheme = "fp8";
    if (!fp8) map->kv_unknown = spec.dump();
  }
  QUANTLANE_TRY(map->global, read_scheme(config["global_quant_config"], source.origin));
  return map;
}

struct Found {
  const TensorInfo* codes = nullptr;
  const TensorInfo* scale = nullptr;
  const TensorInfo* input = nullptr;
};

Result<Found> find(const LinearTensors& tensors, const LinearScheme& scheme, std::int64_t rows,
                   std::int64_t cols) {
  const Scheme& weight = scheme.weight;
  const bool fp4 = weight.bits == 4;
  if (fp4 && cols % weight.group_size != 0) {
    return fail(tensors.wrong_module()
                    .expects("columns in multiples of " + std::to_string(weight.group_size))
                    .got(std::to_string(cols)));
  }
  Found found;
  if (fp4) {
    QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kU8}, {rows, cols / 2}));
    QUANTLANE_TRY(found.scale, tensors.require("weight_scale", {DType::kU8, DType::kF8E8M0},
                                               {rows, weight.groups_per_row(cols)}));
  } else {
    const DType type = weight.type == ValueType::kInt ? DType::kI8 : DType::kF8E4M3;
    QUANTLANE_TRY(found.codes, tensors.require("weight", {type}, {rows, cols}));
    QUANTLANE_TRY(found.scale, tensors.require("weight_scale", kPlainScaleTypes,
                                               {weight.scale_count(rows, cols)}));
  }
  if (scheme.input && scheme.input->calibrated()) {
    QUANTLANE_TRY(found.input, tensors.require("input_scale", kPlainScaleTypes, {1}));
  }
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
  QUANTLANE_TRY(const Found found, find(tensors, scheme, rows, cols));
  StoredLinear linear = empty_linear(scheme, rows, cols);
  QuantTensor& tensor = linear.weight;
  QUANTLANE_TRY(tensor.scales, tensors.scales(*found.scale, scheme.weight.scale_dtype));
  if (scheme.weight.scale_dtype == DType::kF32) {
    tensor.scheme.scale_dtype = found.scale->type.plain;
  }
  const auto bytes = tensors.bytes(*found.codes);
  tensor.codes = scheme.weight.bits == 4 ? nibble_codes(bytes) : byte_codes(bytes);
  if (found.input != nullptr) {
    QUANTLANE_TRY(linear.input->static_scale, tensors.positive_scalar(*found.input));
  }
  return linear;
}

}  // namespace

constinit const Dialect kQuark = {.name = kName,
                                  .recognises = recognises,
                                  .read_map = read_map,
                                  .verify = verify,
                                  .unpack = unpack,
                                  .writer = nullptr};

}  // namespace quantlane
