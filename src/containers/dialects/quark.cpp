#include "containers/dialects/quark.h"

#include <memory>
#include <utility>
#include <vector>

#include "containers/dialects/module_patterns.h"
#include "containers/dialects/scaled_codes.h"
#include "core/check.h"
#include "core/json_members.h"

namespace quantlane {
namespace {

constexpr std::string_view kName = "quark";

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

// What a specification of weights or inputs says.
struct Spec {
  std::string_view dtype;
  std::string_view qscheme;
  bool dynamic = false;
  bool symmetric = true;
  bool groups_of_32 = false;  // under E8M0 scales
};

Result<Spec> read_spec(const JsonMembers& spec) {
  Spec read;
  QUANTLANE_TRY(read.dtype, spec.string("dtype", ""));
  QUANTLANE_TRY(read.qscheme, spec.string("qscheme", ""));
  QUANTLANE_TRY(read.dynamic, spec.boolean("is_dynamic", false));
  QUANTLANE_TRY(read.symmetric, spec.boolean("symmetric", true));
  // FP8 has no zero points, whatever is written there.
  read.symmetric = read.symmetric || read.dtype == "fp8_e4m3";
  QUANTLANE_TRY(const auto scale_format, spec.string("scale_format", ""));
  QUANTLANE_TRY(const auto group, spec.integer("group_size", 0));
  QUANTLANE_TRY(const auto axis, spec.integer("ch_axis", -1));
  const bool along_rows = axis == -1 || axis == 1;
  read.groups_of_32 = read.qscheme == "per_group" && scale_format == "e8m0" && group == 32 &&
                      read.symmetric && along_rows;
  return read;
}

// A list holds two stages, of which none is read.
Result<Scheme> read_weight(const JsonMembers& config) {
  QUANTLANE_TRY(const JsonMembers json, config.object("weight"));
  QUANTLANE_TRY(const Spec spec, read_spec(json));
  Scheme scheme{.scale_dtype = DType::kF32};
  if (spec.dynamic) {
    return fail(json.wrong("is_dynamic").expects("false: the scales of weights are stored"));
  }
  if (spec.dtype == "fp4" && spec.groups_of_32) {
    QUANTLANE_TRY(scheme, Scheme::parse("mxfp4"));
    return scheme;
  }
  const bool eight = spec.dtype == "fp8_e4m3" || spec.dtype == "int8";
  const bool channels = spec.qscheme == "per_channel";
  if (!eight || (spec.qscheme != "per_tensor" && !channels) || !spec.symmetric) {
    return fail(
        config.refused("weight").expects("fp8_e4m3 or symmetric int8 per tensor or channel, or "
                                         "symmetric fp4 per group of 32 along a row with e8m0 "
                                         "scales"));
  }
  if (channels && json.has("ch_axis") && json.json()["ch_axis"].integer() != 0) {
    return fail(json.refused("ch_axis").expects("0: one scale for each output"));
  }
  scheme.type = spec.dtype == "int8" ? ValueType::kInt : ValueType::kFloat;
  scheme.bits = 8;
  scheme.granularity = channels ? Granularity::kChannel : Granularity::kTensor;
  return scheme;
}

Result<std::optional<ActivationScheme>> read_inputs(const JsonMembers& config) {
  if (!config.has("input_tensors")) return std::nullopt;
  QUANTLANE_TRY(const JsonMembers json, config.object("input_tensors"));
  QUANTLANE_TRY(const Spec spec, read_spec(json));
  ActivationScheme scheme;
  if (spec.dtype == "fp4" && spec.dynamic && spec.groups_of_32) {
    QUANTLANE_TRY(scheme, ActivationScheme::parse("mxfp4"));
    return scheme;
  }
  scheme.type = spec.dtype == "int8" ? ValueType::kInt : ValueType::kFloat;
  scheme.dynamic = spec.dynamic;
  // SGLang gives dynamic inputs a scale per token, whichever is written; vLLM one for all tokens of
  // a pass but where it is per_channel (the pre-flight says so: quark-one-scale).
  scheme.granularity = spec.dynamic ? Granularity::kToken : Granularity::kTensor;
  const std::string_view by = spec.qscheme;
  const bool known =
      (spec.dtype == "fp8_e4m3" || spec.dtype == "int8") && spec.symmetric &&
      (by == "per_tensor" || (spec.dynamic && (by == "per_channel" || by == "per_token")));
  if (!known) {
    return fail(config.refused("input_tensors")
                    .expects("symmetric fp8_e4m3 or int8, static per tensor or dynamic, or fp4 "
                             "per group of 32"));
  }
  return scheme;
}

// Is the output of a Linear what the cache holds, or may it be?
enum class Outputs : std::uint8_t { kRounded, kCached };

// What is rounded besides weights and inputs would be left out.
Result<void> check_rest(const JsonMembers& config, Outputs outputs) {
  for (const std::string_view key : {"output_tensors", "bias"}) {
    if (config.has(key) && !(key == "output_tensors" && outputs == Outputs::kCached)) {
      return fail(config.refused(key).expects("null: outputs and biases that are not rounded"));
    }
  }
  return {};
}

Result<std::optional<LinearScheme>> read_scheme(const JsonMembers& config,
                                                Outputs outputs = Outputs::kRounded) {
  QUANTLANE_TRY_VOID(check_rest(config, outputs));
  if (!config.has("weight")) {
    if (!config.has("input_tensors")) return std::nullopt;
    return fail(config.refused("input_tensors").expects("null where weights are not quantized"));
  }
  if (!config.json()["weight"].is_object()) {
    return fail(config.refused("weight").expects("one specification"));
  }
  LinearScheme scheme;
  QUANTLANE_TRY(scheme.weight, read_weight(config));
  QUANTLANE_TRY(scheme.input, read_inputs(config));
  return scheme;
}

// `layer`: of the projection whose outputs are cached, or a specification by itself.
Result<void> read_cache(const JsonMembers& layer, QuantizationMap& map) {
  QUANTLANE_TRY(const JsonMembers outputs, layer.object("output_tensors"));
  const JsonMembers& spec = layer.has("output_tensors") ? outputs : layer;
  QUANTLANE_TRY(const auto dtype, spec.string("dtype", "fp8_e4m3"));
  if (dtype == "fp8_e4m3") map.kv_scheme = "fp8";
  if (dtype != "fp8_e4m3") map.kv_unknown = spec.json().dump();
  return {};
}

Result<void> read_caches(const JsonMembers& config, QuantizationMap& map) {
  QUANTLANE_TRY(const JsonMembers layers, config.object("kv_cache_quant_config"));
  for (const auto& [pattern, value] : layers.json().members()) {
    QUANTLANE_TRY(const JsonMembers layer, layers.object(pattern));
    QUANTLANE_TRY_VOID(read_cache(layer, map));
  }
  return {};
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

// Algorithms leave their marks in the weights, but for rotations of inputs as the model runs (R3,
// R4, R1 where it is not merged), which would be left out: RotationConfig of Quark 0.11 on.
Result<void> check_algorithms(const JsonMembers& config) {
  // A list, or one object.
  const Json& given = config.json()["algo_config"];
  std::vector<const Json*> algorithms;
  if (given.is_object()) algorithms.push_back(&given);
  for (const Json& algorithm : given.items()) algorithms.push_back(&algorithm);
  for (const Json* algorithm : algorithms) {
    for (const auto& [key, value] : algorithm->members()) {
      const bool online = key == "r3" || key == "r4" || key.starts_with("online");
      if (!online || !value.boolean()) continue;
      return fail(config.refused("algo_config")
                      .expects("algorithms that are merged into the weights")
                      .got(std::string((*algorithm)["name"].string("a rotation")) + " with " + key +
                           ", applied as the model runs"));
    }
  }
  return {};
}

// The layers of export.kv_cache_group have the cache for outputs. Those of q_proj may be written
// beside them and are left out, as vLLM does.
Result<void> read_layers(const JsonMembers& config, Map& map) {
  QUANTLANE_TRY(const JsonMembers exported, config.object("export"));
  QUANTLANE_TRY(const auto group, exported.strings("kv_cache_group"));
  QUANTLANE_TRY(const ModulePatterns cached,
                ModulePatterns::read(exported, "kv_cache_group", PatternStyle::kGlobs));
  QUANTLANE_TRY(const JsonMembers layers, config.object("layer_quant_config"));
  for (const auto& [pattern, value] : layers.json().members()) {
    QUANTLANE_TRY(const JsonMembers settings, layers.object(pattern));
    Map::Layer layer;
    const std::string_view glob = pattern;
    QUANTLANE_TRY(layer.pattern, ModulePatterns::of({&glob, 1}, PatternStyle::kGlobs));
    const bool caches = cached.matches(glob);
    const bool may_cache = caches || (!group.empty() && glob == "*q_proj");
    QUANTLANE_TRY(layer.scheme,
                  read_scheme(settings, may_cache ? Outputs::kCached : Outputs::kRounded));
    if (caches && settings.has("output_tensors")) QUANTLANE_TRY_VOID(read_cache(settings, map));
    map.layers.push_back(std::move(layer));
  }
  return {};
}

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  QUANTLANE_TRY(const JsonMembers config,
                JsonMembers::of(source.config, "reading the Quark configuration", source.origin));
  auto map = std::make_unique<Map>();
  QUANTLANE_TRY(map->exclude, ModulePatterns::read(config, "exclude", PatternStyle::kTargets));
  QUANTLANE_TRY_VOID(read_layers(config, *map));
  QUANTLANE_TRY(const JsonMembers types, config.object("layer_type_quant_config"));
  if (!types.json().members().empty()) {
    return fail(config.refused("layer_type_quant_config").expects("none"));
  }
  QUANTLANE_TRY_VOID(check_algorithms(config));
  QUANTLANE_TRY_VOID(read_caches(config, *map));
  QUANTLANE_TRY(const JsonMembers global, config.object("global_quant_config"));
  QUANTLANE_TRY(map->global, read_scheme(global));
  return map;
}

Result<ScaledCodes> find(const LinearTensors& tensors, const LinearScheme& scheme,
                         std::int64_t rows, std::int64_t cols) {
  const Scheme& weight = scheme.weight;
  const bool fp4 = weight.bits == 4;
  if (fp4 && cols % weight.group_size != 0) {
    return fail(tensors.wrong_module()
                    .expects("columns in multiples of " + std::to_string(weight.group_size))
                    .got(std::to_string(cols)));
  }
  ScaledCodes found;
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

}  // namespace

constinit const Dialect kQuark = {.name = kName,
                                  .recognises = recognises,
                                  .read_map = read_map,
                                  .verify = verify,
                                  .unpack = unpack,
                                  .writer = nullptr};

}  // namespace quantlane
