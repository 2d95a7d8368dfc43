#include "containers/dialects/modelopt.h"

#include <algorithm>
#include <map>
#include <utility>

#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/modelopt_parts.h"
#include "containers/dialects/module_patterns.h"
#include "core/check.h"

namespace quantlane {
namespace {

using modelopt::kName;

// The side file wraps the same keys, with another name for the list.
Json from_side_file(const Json& contents) {
  Json config = contents["quantization"];
  if (!config.is_object()) return config;
  config.set("quant_method", kName);
  if (!config.contains("ignore")) config.set("ignore", config["exclude_modules"]);
  return config;
}

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

Result<LinearScheme> scheme_of_algorithm(std::string_view name, const std::string& origin) {
  const modelopt::Algorithm* row = modelopt::algorithm(name);
  if (row == nullptr) {
    std::string known;
    for (const modelopt::Algorithm& algorithm : modelopt::algorithms()) {
      known += std::string(algorithm.name) + " ";
    }
    return fail(unsupported("reading the ModelOpt configuration")
                    .in(origin)
                    .of("quant_algo")
                    .expects("one of: " + known + "MIXED_PRECISION")
                    .got(std::string(name)));
  }
  return row->scheme();
}

// "FP8" in the side file; an object like that of compressed-tensors in config.json.
void read_kv(const Json& config, QuantizationMap& map) {
  const Json& scheme = config["kv_cache_scheme"];
  const Json& name = config["kv_cache_quant_algo"];
  const bool fp8 = scheme["type"].string() == "float" && scheme["num_bits"].integer() == 8;
  if (name.string() == "FP8" || fp8) {
    map.kv_scheme = "fp8";
  } else if (scheme.is_object()) {
    map.kv_unknown = scheme.dump();
  } else if (!name.string().empty() && name.string() != "NONE") {
    map.kv_unknown = name.string();
  }
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
  // The side file's shape inside config.json, as some exports have it.
  const Json& wrapped = source.config["quantization"];
  const Json config = wrapped.is_object() ? from_side_file(source.config) : source.config;
  auto map = std::make_unique<Map>();
  QUANTLANE_TRY(map->ignore, ModulePatterns::read(config["ignore"], PatternStyle::kGlobs));
  read_kv(config, *map);
  if (config["quant_algo"].is_null()) return map;  // a quantized cache at most
  const std::string_view algorithm = config["quant_algo"].string();
  if (algorithm != "MIXED_PRECISION") {
    QUANTLANE_TRY(map->all, scheme_of_algorithm(algorithm, source.origin));
    return map;
  }
  for (const auto& [module, settings] : config["quantized_layers"].members()) {
    QUANTLANE_TRY(const LinearScheme scheme,
                  scheme_of_algorithm(settings["quant_algo"].string(), source.origin));
    map->some.emplace(module, scheme);
  }
  return map;
}

struct Found {
  const TensorInfo* codes = nullptr;
  const TensorInfo* scale = nullptr;
  const TensorInfo* factor = nullptr;  // weight_scale_2
  const TensorInfo* input = nullptr;
};

Result<Found> find(const LinearTensors& tensors, const LinearScheme& scheme, std::int64_t rows,
                   std::int64_t cols) {
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
  Found found;
  if (weight.bits == 4) {
    QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kU8}, {rows, cols / 2}));
  } else {
    QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kF8E4M3}, {rows, cols}));
  }
  const std::int64_t groups = weight.groups_per_row(cols);
  const std::vector<std::int64_t> shape = {weight.scale_count(rows, cols) / groups, groups};
  if (weight.scale_dtype == DType::kF8E8M0) {
    QUANTLANE_TRY(found.scale,
                  tensors.require("weight_scale", {DType::kU8, DType::kF8E8M0}, shape));
  } else if (weight.tensor_scale != TensorScale::kNone) {
    QUANTLANE_TRY(found.scale, tensors.require("weight_scale", {DType::kF8E4M3}, shape));
    QUANTLANE_TRY(found.factor, tensors.require("weight_scale_2", {DType::kF32}, {1}));
  } else {
    QUANTLANE_TRY(found.scale, tensors.require("weight_scale", kPlainScaleTypes, shape));
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
  if (found.factor != nullptr) {
    QUANTLANE_TRY(tensor.tensor_scale, tensors.positive_scalar(*found.factor));
  }
  const auto bytes = tensors.bytes(*found.codes);
  tensor.codes = scheme.weight.bits == 4 ? nibble_codes(bytes) : byte_codes(bytes);
  if (found.input != nullptr) {
    QUANTLANE_TRY(linear.input->static_scale, tensors.positive_scalar(*found.input));
  }
  return linear;
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
