// The quantization_config of compressed-tensors: which Linears are quantized and how.
#include <array>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "containers/dialects/compressed_tensors_parts.h"
#include "containers/dialects/module_patterns.h"
#include "core/check.h"

namespace quantlane::compressed_tensors {
namespace {

std::string_view format_name(Layout layout) {
  constexpr std::array<std::string_view, 6> kNames = {
      "float-quantized",      "int-quantized",        "pack-quantized",
      "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized"};
  return kNames[static_cast<std::size_t>(layout)];
}

constexpr std::int64_t kLargestGroup = 1 << 20;

Error bad_argument(const std::string& origin, std::string key, const Json& found) {
  return unsupported("reading the quantization arguments of compressed-tensors")
      .in(origin)
      .of(std::move(key))
      .got(found.dump());
}

Result<Granularity> read_strategy(const Json& args, const std::string& origin) {
  const std::string_view strategy =
      args["strategy"].string(args["group_size"].integer() > 0 ? "group" : "tensor");
  if (strategy == "tensor") return Granularity::kTensor;
  if (strategy == "channel") return Granularity::kChannel;
  if (strategy == "group" || strategy == "tensor_group")
    return args["group_size"].integer() > 0 ? Granularity::kGroup : Granularity::kChannel;
  if (strategy == "token") return Granularity::kToken;
  if (strategy == "block") return Granularity::kBlock;
  return fail(bad_argument(origin, "strategy", args["strategy"])
                  .expects("tensor, channel, group, tensor_group, block or token"));
}

Result<ValueType> read_type(const Json& args, const std::string& origin) {
  const std::string_view type = args["type"].string("int");
  const std::int64_t bits = args["num_bits"].integer(8);
  if (type == "int" && bits >= 2 && bits <= 8) return ValueType::kInt;
  if (type == "float" && (bits == 8 || bits == 4)) return ValueType::kFloat;
  return fail(
      bad_argument(origin, "num_bits", args["num_bits"]).expects("int 2..8, float 8 or float 4"));
}

Result<int> read_group_size(const Json& args, const std::string& origin) {
  const std::int64_t group = args["group_size"].integer();
  if (group < 1 || group > kLargestGroup) {
    return fail(bad_argument(origin, "group_size", args["group_size"]));
  }
  return static_cast<int>(group);
}

// [128, 128], or "128x128" in old files.
Result<std::pair<int, int>> read_block(const Json& args, const std::string& origin) {
  const Json& block = args["block_structure"];
  std::array<std::int64_t, 2> extents{};
  if (block.items().size() == 2) {
    extents = {block.items()[0].integer(), block.items()[1].integer()};
  } else if (const std::size_t by = block.string().find('x'); by != std::string_view::npos) {
    const std::string_view text = block.string();
    std::from_chars(text.data(), text.data() + by, extents[0]);
    std::from_chars(text.data() + by + 1, text.data() + text.size(), extents[1]);
  }
  for (const std::int64_t extent : extents) {
    if (extent < 1 || extent > kLargestGroup) {
      return fail(bad_argument(origin, "block_structure", block).expects("two extents"));
    }
  }
  return std::pair(static_cast<int>(extents[0]), static_cast<int>(extents[1]));
}

// Are the scales E8M0? Old files say so by the format alone.
bool has_shared_exponents(const Json& args, std::string_view format) {
  return args["scale_dtype"].string() == "torch.uint8" || format.starts_with("mxfp");
}

Result<Scheme> read_weight_scheme(const Json& args, std::string_view format,
                                  const std::string& origin) {
  Scheme scheme;
  QUANTLANE_TRY(scheme.type, read_type(args, origin));
  QUANTLANE_TRY(scheme.granularity, read_strategy(args, origin));
  scheme.bits = static_cast<int>(args["num_bits"].integer(8));
  scheme.symmetric = args["symmetric"].boolean(true);
  scheme.act_order = args["actorder"].string() == "group";
  const bool fits = scheme.granularity != Granularity::kToken &&
                    (scheme.type == ValueType::kFloat || scheme.granularity != Granularity::kBlock);
  if (!fits) {
    return fail(
        bad_argument(origin, "strategy", args["strategy"]).expects("a strategy for weights"));
  }
  if (scheme.type == ValueType::kFloat && !scheme.symmetric) {
    return fail(bad_argument(origin, "symmetric", args["symmetric"]).expects("symmetric floats"));
  }
  if (scheme.granularity == Granularity::kGroup) {
    QUANTLANE_TRY(scheme.group_size, read_group_size(args, origin));
  } else if (scheme.granularity == Granularity::kBlock) {
    QUANTLANE_TRY(const auto block, read_block(args, origin));
    scheme.block_rows = block.first;
    scheme.group_size = block.second;
  }
  if (scheme.type == ValueType::kInt) return scheme;
  if (has_shared_exponents(args, format)) {
    scheme.scale_dtype = DType::kF8E8M0;
  } else if (scheme.bits == 4) {
    scheme.scale_dtype = DType::kF8E4M3;
    scheme.tensor_scale = TensorScale::kDivides;
    scheme.rounding.value = DType::kBF16;  // the library decodes to bf16
  }
  const bool grouped = scheme.granularity == Granularity::kGroup && scheme.group_size % 2 == 0;
  if ((scheme.bits == 4 || scheme.scale_dtype == DType::kF8E8M0) && !grouped) {
    return fail(bad_argument(origin, "weights", args).expects("an even group_size"));
  }
  return scheme;
}

Result<std::optional<ActivationScheme>> read_input_scheme(const Json& args, std::string_view format,
                                                          const std::string& origin) {
  if (!args.is_object()) return std::nullopt;
  ActivationScheme scheme;
  QUANTLANE_TRY(scheme.type, read_type(args, origin));
  QUANTLANE_TRY(scheme.granularity, read_strategy(args, origin));
  scheme.bits = static_cast<int>(args["num_bits"].integer(8));
  const bool local = args["dynamic"].string() == "local";
  scheme.dynamic = local || args["dynamic"].boolean(false);
  const bool fp4 = scheme.type == ValueType::kFloat && scheme.bits == 4;
  bool known = args["symmetric"].boolean(true) && (fp4 || scheme.bits == 8);
  if (scheme.granularity == Granularity::kGroup) {
    QUANTLANE_TRY(scheme.group_size, read_group_size(args, origin));
    known = known && scheme.type == ValueType::kFloat && scheme.dynamic;
    if (has_shared_exponents(args, format)) {
      scheme.scale_dtype = DType::kF8E8M0;
    } else if (fp4) {
      scheme.scale_dtype = DType::kF8E4M3;
      scheme.tensor_scale = TensorScale::kDivides;
    }
  } else {
    known = known && !fp4 && !local &&
            scheme.granularity == (scheme.dynamic ? Granularity::kToken : Granularity::kTensor);
  }
  if (!known) {
    return fail(bad_argument(origin, "input_activations", args)
                    .expects("8 bits, symmetric, one dynamic scale per token or one static scale; "
                             "or floats with a dynamic scale per group"));
  }
  return scheme;
}

void read_kv(const Json& args, QuantizationMap& map) {
  if (!args.is_object()) return;
  const std::string_view strategy = args["strategy"].string("tensor");
  const bool fp8 = args["type"].string("int") == "float" && args["num_bits"].integer(8) == 8 &&
                   args["symmetric"].boolean(true) && !args["dynamic"].boolean();
  if (fp8 && strategy == "tensor") {
    map.kv_scheme = "fp8";
  } else if (fp8 && strategy == "attn_head") {
    map.kv_scheme = "fp8_head";
  } else {
    map.kv_unknown = args.dump();
  }
}

class Map final : public QuantizationMap {
 public:
  struct Group {
    ModulePatterns targets;
    LinearScheme scheme;
  };
  std::vector<Group> groups;
  ModulePatterns ignore;

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    if (ignore.matches(module)) return std::nullopt;
    const Group* best = nullptr;
    PatternMatch closest = PatternMatch::kNone;
    for (const Group& group : groups) {
      const PatternMatch match = group.targets.match(module);
      if (match < closest) {
        closest = match;
        best = &group;
      }
    }
    return best == nullptr ? std::nullopt : std::optional(best->scheme);
  }
};

Json write_weights(const Scheme& scheme) {
  constexpr std::array<std::string_view, 5> kStrategies = {"tensor", "channel", "group", "token",
                                                           "block"};
  Json args;
  args.set("num_bits", scheme.bits);
  args.set("type", scheme.type == ValueType::kInt ? "int" : "float");
  args.set("symmetric", scheme.symmetric);
  args.set("strategy", scheme.tensor_scale != TensorScale::kNone
                           ? "tensor_group"
                           : kStrategies[static_cast<std::size_t>(scheme.granularity)]);
  if (scheme.granularity == Granularity::kGroup) args.set("group_size", scheme.group_size);
  if (scheme.granularity == Granularity::kBlock) {
    args.set("block_structure", Json::array().push(scheme.block_rows).push(scheme.group_size));
  }
  args.set("dynamic", false);
  if (scheme.scale_dtype == DType::kF8E8M0) args.set("scale_dtype", "torch.uint8");
  if (scheme.scale_dtype == DType::kF8E4M3) args.set("scale_dtype", "torch.float8_e4m3fn");
  return args;
}

Json write_input(const ActivationScheme& scheme) {
  Json args;
  args.set("num_bits", scheme.bits);
  args.set("type", scheme.type == ValueType::kInt ? "int" : "float");
  args.set("symmetric", true);
  if (scheme.granularity == Granularity::kGroup) {
    const bool local = scheme.scale_dtype == DType::kF8E4M3;
    args.set("strategy", local ? "tensor_group" : "group");
    args.set("group_size", scheme.group_size);
    args.set("dynamic", local ? Json("local") : Json(true));
    if (local) args.set("scale_dtype", "torch.float8_e4m3fn");
    if (scheme.scale_dtype == DType::kF8E8M0) args.set("scale_dtype", "torch.uint8");
  } else {
    args.set("strategy", scheme.dynamic ? "token" : "tensor");
    args.set("dynamic", scheme.dynamic);
  }
  return args;
}

}  // namespace

Layout layout_of(const LinearScheme& scheme) {
  const Scheme& w = scheme.weight;
  if (w.type == ValueType::kInt) return scheme.input ? Layout::kInt : Layout::kPacked;
  if (w.tensor_scale != TensorScale::kNone) return Layout::kNvfp4;
  if (w.scale_dtype == DType::kF8E8M0) return w.bits == 4 ? Layout::kMxfp4 : Layout::kMxfp8;
  return Layout::kFloat;
}

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  auto map = std::make_unique<Map>();
  const Json& config = source.config;
  QUANTLANE_TRY(map->ignore, ModulePatterns::read(config["ignore"], PatternStyle::kTargets));
  read_kv(config["kv_cache_scheme"], *map);
  if (config["config_groups"].members().empty()) {
    return fail(corrupt("reading quantization_config")
                    .in(source.origin)
                    .of("config_groups")
                    .expects("at least one group"));
  }
  for (const auto& [name, group] : config["config_groups"].members()) {
    const std::string_view format = group["format"].string(config["format"].string());
    if (group["output_activations"].is_object()) {
      return fail(bad_argument(source.origin, "output_activations", group["output_activations"])
                      .expects("outputs that are not rounded"));
    }
    Map::Group read;
    QUANTLANE_TRY(read.targets, ModulePatterns::read(group["targets"], PatternStyle::kTargets));
    QUANTLANE_TRY(read.scheme.weight, read_weight_scheme(group["weights"], format, source.origin));
    QUANTLANE_TRY(read.scheme.input,
                  read_input_scheme(group["input_activations"], format, source.origin));
    map->groups.push_back(std::move(read));
  }
  return map;
}

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore) {
  const std::string_view format = format_name(layout_of(scheme));
  Json group;
  group.set("targets", Json::array().push("Linear"));
  group.set("weights", write_weights(scheme.weight));
  group.set("input_activations", scheme.input ? write_input(*scheme.input) : Json());
  group.set("output_activations", Json());
  Json ignored = Json::array();
  for (const std::string& name : ignore) ignored.push(name);
  Json config;
  config.set("quant_method", kName);
  config.set("quantization_status", "compressed");
  config.set("format", format);
  config.set("ignore", std::move(ignored));
  config.set("kv_cache_scheme", Json());
  config.set("config_groups", Json::object({{"group_0", std::move(group)}}));
  return config;
}

void set_kv(Json& config, const KvScheme& scheme) {
  config.set("kv_cache_scheme",
             Json::object({{"num_bits", scheme.bits},
                           {"type", "float"},
                           {"symmetric", true},
                           {"strategy", scheme.per_head ? "attn_head" : "tensor"},
                           {"dynamic", false}}));
}

}  // namespace quantlane::compressed_tensors
