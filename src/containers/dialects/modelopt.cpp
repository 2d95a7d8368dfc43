#include "containers/dialects/modelopt.h"

#include <algorithm>
#include <map>
#include <utility>

#include "containers/dialects/modelopt_parts.h"
#include "containers/dialects/module_patterns.h"
#include "containers/dialects/scaled_codes.h"
#include "core/check.h"
#include "core/json_members.h"

namespace quantlane {
namespace {

using modelopt::kName;

// The side file wraps the same keys, with another name for the list.
Json from_side_file(const Json& contents) {
  if (!contents.is_object()) return contents;
  Json config = contents["quantization"];
  // Left for read_map to refuse.
  if (!config.is_object()) {
    return Json::object({{"quant_method", kName}, {"quantization", std::move(config)}});
  }
  config.set("quant_method", kName);
  if (!config.contains("ignore")) config.set("ignore", config["exclude_modules"]);
  return config;
}

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

// Groups have the extent of the algorithm; other algorithms have keys of their own there.
Result<void> check_group(const JsonMembers& settings, const LinearScheme& scheme) {
  const Scheme& weight = scheme.weight;
  if (weight.granularity != Granularity::kGroup) return {};
  QUANTLANE_TRY(const auto group, settings.integer("group_size", weight.group_size));
  if (group == weight.group_size) return {};
  return fail(settings.wrong("group_size")
                  .expects(std::to_string(weight.group_size) + ", which the algorithm has")
                  .advise("correct the key or \"quant_algo\""));
}

Result<LinearScheme> read_algorithm(const JsonMembers& settings) {
  QUANTLANE_TRY(const std::string_view name, settings.string("quant_algo", ""));
  const modelopt::Algorithm* row = modelopt::algorithm(name);
  if (row == nullptr) {
    std::string known;
    for (const modelopt::Algorithm& algorithm : modelopt::algorithms()) {
      known += std::string(algorithm.name) + " ";
    }
    return fail(settings.refused("quant_algo").expects("one of: " + known + "MIXED_PRECISION"));
  }
  const LinearScheme scheme = row->scheme();
  QUANTLANE_TRY_VOID(check_group(settings, scheme));
  return scheme;
}

// One side of a group in config.json: what it says must be what the algorithm is.
Result<void> check_side(const JsonMembers& args, int bits, int group_size, bool dynamic) {
  const auto differs = [&](std::string_view key, const std::string& wanted) {
    return fail(args.wrong(key)
                    .expects(wanted + ", as \"quant_algo\" says")
                    .advise("correct the key or \"quant_algo\""));
  };
  QUANTLANE_TRY_VOID(args.word("type", "float", {"float"}));
  QUANTLANE_TRY(const auto stored_bits, args.integer("num_bits", bits));
  if (stored_bits != bits) return differs("num_bits", std::to_string(bits));
  QUANTLANE_TRY(const bool stored_dynamic, args.boolean("dynamic", dynamic));
  if (stored_dynamic != dynamic) return differs("dynamic", dynamic ? "true" : "false");
  if (group_size == 0) return {};
  QUANTLANE_TRY(const auto stored_group, args.integer("group_size", group_size));
  if (stored_group != group_size) return differs("group_size", std::to_string(group_size));
  return {};
}

Result<void> check_groups(const JsonMembers& config, const LinearScheme& scheme) {
  const Scheme& weight = scheme.weight;
  const bool grouped = weight.granularity == Granularity::kGroup;
  QUANTLANE_TRY(const JsonMembers groups, config.object("config_groups"));
  for (const auto& [name, value] : groups.json().members()) {
    QUANTLANE_TRY(const JsonMembers group, groups.object(name));
    QUANTLANE_TRY_VOID(group.strings("targets"));
    QUANTLANE_TRY(const JsonMembers weights, group.object("weights"));
    QUANTLANE_TRY_VOID(check_side(weights, weight.bits, grouped ? weight.group_size : 0, false));
    QUANTLANE_TRY(const JsonMembers inputs, group.object("input_activations"));
    if (!scheme.input) continue;
    // NVFP4's inputs count as static for their scale of the tensor.
    QUANTLANE_TRY_VOID(check_side(inputs, scheme.input->bits, scheme.input->group_size,
                                  !scheme.input->calibrated()));
  }
  return {};
}

// "FP8" in the side file; an object like that of compressed-tensors in config.json.
Result<void> read_kv(const JsonMembers& config, QuantizationMap& map) {
  QUANTLANE_TRY(const JsonMembers scheme, config.object("kv_cache_scheme"));
  QUANTLANE_TRY(const auto name, config.string("kv_cache_quant_algo", "NONE"));
  QUANTLANE_TRY(const auto type, scheme.string("type", ""));
  QUANTLANE_TRY(const auto bits, scheme.integer("num_bits", 0));
  QUANTLANE_TRY(const bool dynamic, scheme.boolean("dynamic", false));
  if (name == "FP8" || (type == "float" && bits == 8 && !dynamic)) {
    map.kv_scheme = "fp8";
  } else if (config.has("kv_cache_scheme")) {
    map.kv_unknown = scheme.json().dump();
  } else if (!name.empty() && name != "NONE") {
    map.kv_unknown = name;
  }
  return {};
}

class Map final : public QuantizationMap {
 public:
  ModulePatterns ignore;
  std::optional<LinearScheme> all;                        // of every module that is not ignored
  std::map<std::string, LinearScheme, std::less<>> some;  // MIXED_PRECISION: these only

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    if (ignore.matches(module)) return std::nullopt;
    const auto own = some.find(module);
    return own != some.end() ? std::optional(own->second) : all;
  }
};

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  const std::string attempt = "reading the ModelOpt configuration";
  QUANTLANE_TRY(const JsonMembers outer, JsonMembers::of(source.config, attempt, source.origin));
  // The side file's shape inside config.json, as some exports have it.
  const bool wrapped = source.config.contains("quantization");
  if (wrapped && !source.config["quantization"].is_object()) {
    return fail(outer.wrong("quantization").expects("an object with \"quant_algo\""));
  }
  const Json unwrapped = wrapped ? from_side_file(source.config) : Json();
  QUANTLANE_TRY(const JsonMembers config,
                JsonMembers::of(wrapped ? unwrapped : source.config, attempt, source.origin));
  auto map = std::make_unique<Map>();
  QUANTLANE_TRY(map->ignore, ModulePatterns::read(config, "ignore", PatternStyle::kGlobs));
  QUANTLANE_TRY_VOID(read_kv(config, *map));
  if (!config.has("quant_algo")) return map;  // a quantized cache at most
  QUANTLANE_TRY(const std::string_view algorithm, config.string("quant_algo", ""));
  if (algorithm != "MIXED_PRECISION") {
    QUANTLANE_TRY(map->all, read_algorithm(config));
    QUANTLANE_TRY_VOID(check_groups(config, *map->all));
    return map;
  }
  QUANTLANE_TRY(const JsonMembers layers, config.object("quantized_layers"));
  if (layers.json().members().empty()) {
    return fail(config.wrong("quantized_layers").expects("the algorithm of at least one layer"));
  }
  for (const auto& [module, value] : layers.json().members()) {
    QUANTLANE_TRY(const JsonMembers settings, layers.object(module));
    QUANTLANE_TRY(const LinearScheme scheme, read_algorithm(settings));
    map->some.emplace(module, scheme);
  }
  return map;
}

Result<ScaledCodes> find(const LinearTensors& tensors, const LinearScheme& scheme,
                         std::int64_t rows, std::int64_t cols) {
  const Scheme& weight = scheme.weight;
  if (weight.granularity == Granularity::kGroup && cols % weight.group_size != 0) {
    return fail(tensors.wrong_module()
                    .expects("columns in multiples of " + std::to_string(weight.group_size))
                    .got(std::to_string(cols)));
  }
  if (const TensorInfo* smoothing = tensors.find("pre_quant_scale")) {
    Error error = tensors.wrong(*smoothing);
    error.code = ErrorCode::kUnsupported;
    return fail(std::move(error).expects("inputs that are not scaled before they are rounded"));
  }
  ScaledCodes found;
  if (weight.bits == 4) {
    QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kU8}, {rows, cols / 2}));
  } else {
    QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kF8E4M3}, {rows, cols}));
  }
  QUANTLANE_TRY_VOID(find_scales(tensors, weight, rows, cols, "weight_scale_2", found));
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

constinit const Dialect kModelOpt = {.name = kName,
                                     .recognises = recognises,
                                     .read_map = read_map,
                                     .verify = verify,
                                     .unpack = unpack,
                                     .writer = &modelopt::kWriter,
                                     .side_file = "hf_quant_config.json",
                                     .from_side_file = from_side_file};

}  // namespace quantlane
