// The quantization_config of compressed-tensors: which Linears are quantized and how.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "containers/dialects/compressed_tensors_formats.h"
#include "containers/dialects/compressed_tensors_parts.h"
#include "containers/dialects/module_patterns.h"
#include "core/check.h"
#include "core/json_members.h"

namespace quantlane::compressed_tensors {
namespace {

constexpr std::int64_t kLargestGroup = 1 << 20;

// Old files spell words in capitals, as the library reads them.
Result<std::string> read_word(const JsonMembers& args, std::string_view key,
                              std::string_view fallback,
                              std::initializer_list<std::string_view> words) {
  QUANTLANE_TRY(const auto spelled, args.string(key, fallback));
  std::string word(spelled);
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::tolower(c); });
  if (args.has(key) && std::ranges::find(words, word) == words.end()) {
    QUANTLANE_TRY_VOID(args.word(key, fallback, words));
  }
  return word;
}

// 0 when absent, -1: one group for the whole row.
Result<int> read_group_size(const JsonMembers& args) {
  QUANTLANE_TRY(const auto group, args.integer("group_size", 0));
  if (args.has("group_size") && (group == 0 || group < -1 || group > kLargestGroup)) {
    return fail(
        args.refused("group_size").expects("-1, or from 1 to " + std::to_string(kLargestGroup)));
  }
  return static_cast<int>(group);
}

Result<Granularity> read_strategy(const JsonMembers& args) {
  QUANTLANE_TRY(const int group, read_group_size(args));
  const std::string_view inferred = group == 0 ? "tensor" : group > 0 ? "group" : "channel";
  QUANTLANE_TRY(const std::string strategy,
                read_word(args, "strategy", inferred,
                          {"tensor", "channel", "group", "tensor_group", "block", "token"}));
  if (strategy == "tensor") return Granularity::kTensor;
  if (strategy == "channel") return Granularity::kChannel;
  if (strategy == "token") return Granularity::kToken;
  if (strategy == "block") return Granularity::kBlock;
  if (group == 0) {
    return fail(args.wrong("group_size").expects("the size of a group, as \"strategy\" asks for"));
  }
  return group > 0 ? Granularity::kGroup : Granularity::kChannel;
}

struct NumberType {
  ValueType type = ValueType::kInt;
  int bits = 8;
};

Result<NumberType> read_type(const JsonMembers& args) {
  QUANTLANE_TRY(const std::string type, read_word(args, "type", "int", {"int", "float"}));
  QUANTLANE_TRY(const auto bits, args.integer("num_bits", 8));
  const bool fits = type == "int" ? bits >= 2 && bits <= 8 : bits == 8 || bits == 4;
  if (!fits) return fail(args.refused("num_bits").expects("int 2..8, float 8 or float 4"));
  return NumberType{type == "int" ? ValueType::kInt : ValueType::kFloat, static_cast<int>(bits)};
}

// [128, 128], or "128x128" in old files.
Result<std::pair<int, int>> read_block(const JsonMembers& args) {
  const Json& block = args.json()["block_structure"];
  std::array<std::int64_t, 2> extents{};
  if (block.items().size() == 2) {
    extents = {block.items()[0].integer(), block.items()[1].integer()};
  } else if (const std::size_t by = block.string().find('x'); by != std::string_view::npos) {
    const std::string_view text = block.string();
    const char* const end = text.data() + text.size();
    const char* const middle = text.data() + by;
    if (std::from_chars(text.data(), middle, extents[0]).ptr != middle) extents[0] = 0;
    if (std::from_chars(middle + 1, end, extents[1]).ptr != end) extents[1] = 0;
  }
  for (const std::int64_t extent : extents) {
    if (extent < 1 || extent > kLargestGroup) {
      return fail(args.wrong("block_structure")
                      .expects("two integers from 1 to " + std::to_string(kLargestGroup) +
                               ", as \"strategy\": \"block\" asks for")
                      .advise("write the rows and columns that share a scale, as in [128, 128]"));
    }
  }
  return std::pair(static_cast<int>(extents[0]), static_cast<int>(extents[1]));
}

// Are the scales E8M0? Old files say so by the format alone.
Result<bool> has_shared_exponents(const JsonMembers& args, std::string_view format) {
  QUANTLANE_TRY(const auto dtype,
                args.word("scale_dtype", "",
                          {"torch.uint8", "torch.float8_e8m0fnu", "torch.float8_e4m3fn",
                           "torch.bfloat16", "torch.float16", "torch.float32"}));
  const bool exponents = dtype == "torch.uint8" || dtype == "torch.float8_e8m0fnu";
  const bool by_format = format.starts_with("mxfp");
  if (by_format && !exponents && !dtype.empty()) {
    return fail(
        args.wrong("scale_dtype")
            .expects("\"torch.uint8\", as \"format\": \"" + std::string(format) + "\" says"));
  }
  return exponents || by_format;
}

// "group" needs the tensor of group indices; true and "dynamic" are older names of it.
Result<bool> read_act_order(const JsonMembers& args) {
  if (args.json()["actorder"].is_bool()) return args.json()["actorder"].boolean();
  QUANTLANE_TRY(const std::string order,
                read_word(args, "actorder", "", {"group", "dynamic", "weight", "static"}));
  return order == "group" || order == "dynamic";
}

Result<void> read_granularity(const JsonMembers& args, Scheme& scheme) {
  QUANTLANE_TRY(scheme.granularity, read_strategy(args));
  const bool fits = scheme.granularity != Granularity::kToken &&
                    (scheme.type == ValueType::kFloat || scheme.granularity != Granularity::kBlock);
  if (!fits) return fail(args.refused("strategy").expects("a strategy for weights"));
  if (scheme.granularity == Granularity::kGroup) {
    QUANTLANE_TRY(scheme.group_size, read_group_size(args));
  } else if (scheme.granularity == Granularity::kBlock) {
    QUANTLANE_TRY(const auto block, read_block(args));
    scheme.block_rows = block.first;
    scheme.group_size = block.second;
  }
  return {};
}

Result<Scheme> read_weight_scheme(const JsonMembers& group, std::string_view format) {
  if (!group.has("weights")) {
    return fail(group.refused("weights").expects("how weights are quantized"));
  }
  QUANTLANE_TRY(const JsonMembers args, group.object("weights"));
  Scheme scheme;
  QUANTLANE_TRY(const NumberType number, read_type(args));
  scheme.type = number.type;
  scheme.bits = number.bits;
  QUANTLANE_TRY_VOID(read_granularity(args, scheme));
  QUANTLANE_TRY(scheme.symmetric, args.boolean("symmetric", true));
  QUANTLANE_TRY(scheme.act_order, read_act_order(args));
  QUANTLANE_TRY(const bool dynamic, args.boolean("dynamic", false));
  if (dynamic)
    return fail(args.refused("dynamic").expects("false: the scales of weights are stored"));
  if (scheme.type == ValueType::kFloat && !scheme.symmetric) {
    return fail(args.refused("symmetric").expects("symmetric floats"));
  }
  QUANTLANE_TRY(const bool exponents, has_shared_exponents(args, format));
  if (scheme.type == ValueType::kInt) return scheme;
  if (exponents) {
    scheme.scale_dtype = DType::kF8E8M0;
  } else if (scheme.bits == 4) {
    scheme.scale_dtype = DType::kF8E4M3;
    scheme.tensor_scale = TensorScale::kDivides;
    scheme.rounding.value = DType::kBF16;  // the library decodes to bf16
  }
  const bool grouped = scheme.granularity == Granularity::kGroup && scheme.group_size % 2 == 0;
  if ((scheme.bits == 4 || scheme.scale_dtype == DType::kF8E8M0) && !grouped) {
    return fail(group.refused("weights").expects("an even group_size"));
  }
  return scheme;
}

// true, false, or "local": groups within the scale of the tensor.
struct Dynamic {
  bool dynamic = false;
  bool local = false;
};
Result<Dynamic> read_dynamic(const JsonMembers& args) {
  if (args.json()["dynamic"].is_string()) {
    QUANTLANE_TRY_VOID(args.word("dynamic", "", {"local"}));
    return Dynamic{.dynamic = true, .local = true};
  }
  QUANTLANE_TRY(const bool dynamic, args.boolean("dynamic", false));
  return Dynamic{.dynamic = dynamic, .local = false};
}

Result<std::optional<ActivationScheme>> read_input_scheme(const JsonMembers& group,
                                                          std::string_view format) {
  if (!group.has("input_activations")) return std::nullopt;
  QUANTLANE_TRY(const JsonMembers args, group.object("input_activations"));
  ActivationScheme scheme;
  QUANTLANE_TRY(const NumberType number, read_type(args));
  scheme.type = number.type;
  scheme.bits = number.bits;
  QUANTLANE_TRY(scheme.granularity, read_strategy(args));
  QUANTLANE_TRY(const Dynamic dynamic, read_dynamic(args));
  scheme.dynamic = dynamic.dynamic;
  QUANTLANE_TRY(scheme.symmetric, args.boolean("symmetric", true));
  QUANTLANE_TRY(const bool exponents, has_shared_exponents(args, format));
  const bool fp4 = scheme.type == ValueType::kFloat && scheme.bits == 4;
  bool known = (scheme.symmetric || scheme.type == ValueType::kInt) && (fp4 || scheme.bits == 8);
  if (scheme.granularity == Granularity::kGroup) {
    QUANTLANE_TRY(scheme.group_size, read_group_size(args));
    known = known && scheme.type == ValueType::kFloat && scheme.dynamic &&
            (!dynamic.local || (fp4 && !exponents));
    if (exponents) {
      scheme.scale_dtype = DType::kF8E8M0;
    } else if (fp4) {
      scheme.scale_dtype = DType::kF8E4M3;
      scheme.tensor_scale = TensorScale::kDivides;
    }
  } else {
    known = known && !fp4 && !dynamic.local &&
            scheme.granularity == (scheme.dynamic ? Granularity::kToken : Granularity::kTensor);
  }
  if (!known) {
    return fail(group.refused("input_activations")
                    .expects("8 bits, one dynamic scale per token or one static scale; or floats "
                             "with a dynamic scale per group; floats symmetric"));
  }
  return scheme;
}

Result<void> read_kv(const JsonMembers& config, QuantizationMap& map) {
  if (!config.has("kv_cache_scheme")) return {};
  QUANTLANE_TRY(const JsonMembers args, config.object("kv_cache_scheme"));
  QUANTLANE_TRY(const auto strategy, args.string("strategy", "tensor"));
  QUANTLANE_TRY(const auto type, args.string("type", "int"));
  QUANTLANE_TRY(const auto bits, args.integer("num_bits", 8));
  QUANTLANE_TRY(const bool symmetric, args.boolean("symmetric", true));
  QUANTLANE_TRY(const Dynamic dynamic, read_dynamic(args));
  const bool fp8 = type == "float" && bits == 8 && symmetric && !dynamic.dynamic;
  if (fp8 && strategy == "tensor") {
    map.kv_scheme = "fp8";
  } else if (fp8 && strategy == "attn_head") {
    map.kv_scheme = "fp8_head";
  } else if (type == "int" && (bits == 8 || bits == 4) && symmetric && dynamic.dynamic &&
             !dynamic.local && strategy == "group") {
    QUANTLANE_TRY(map.kv_group_size, read_group_size(args));
    map.kv_scheme = "int" + std::to_string(bits);
  } else {
    map.kv_unknown = args.json().dump();
  }
  return {};
}

// Rotations of inputs as the model runs would be left out; those of weights are in them already.
Result<void> check_transforms(const JsonMembers& config) {
  QUANTLANE_TRY(const JsonMembers transforms, config.object("transform_config"));
  QUANTLANE_TRY(const JsonMembers groups, transforms.object("config_groups"));
  for (const auto& [name, value] : groups.json().members()) {
    for (const Json& place : value["apply"].items()) {
      if (place["location"].string().starts_with("weight_")) continue;
      return fail(
          groups.refused(name).expects("transforms of weights only, none as the model runs"));
    }
  }
  QUANTLANE_TRY(const JsonMembers sparsity, config.object("sparsity_config"));
  QUANTLANE_TRY_VOID(sparsity.word("format", "dense", {"dense"}));
  return {};
}

class Map final : public QuantizationMap {
 public:
  struct Group {
    ModulePatterns targets;
    LinearScheme scheme;
    std::string format;  // "" when the configuration does not say
  };
  std::vector<Group> groups;
  ModulePatterns ignore;

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    const Group* group = group_of(module);
    return group == nullptr ? std::nullopt : std::optional(group->scheme);
  }

  // nullptr: kept plain.
  [[nodiscard]] const Group* group_of(std::string_view module) const {
    if (ignore.matches(module)) return nullptr;
    const Group* best = nullptr;
    PatternMatch closest = PatternMatch::kNone;
    for (const Group& group : groups) {
      const PatternMatch match = group.targets.match(module);
      if (match < closest) {
        closest = match;
        best = &group;
      }
    }
    return best;
  }
};

// The words of each format have tensors of their own, which engines look for by its name.
Result<void> check_tensors(const QuantizationSource& source, const JsonMembers& config,
                           const Map& map) {
  for (const TensorInfo& tensor : source.container.tensors()) {
    const std::string_view module = module_with_codes(tensor);
    if (module.empty()) continue;
    const Map::Group* group = map.group_of(module);
    if (group == nullptr || format_holds(group->format, tensor)) continue;
    const std::string_view named = format_named_for(tensor, group->scheme.weight);
    const std::string type(tensor.type.name());
    return fail(config.wrong("format")
                    .expects("the layout of the tensor " + tensor.name + ", " + type)
                    .got("\"" + group->format + "\"")
                    .advise(named.empty()
                                ? "no format has words of " + type +
                                      ": download the checkpoint again, or write it again"
                                : "set \"format\" to \"" + std::string(named) +
                                      "\" (of the group too), if that is how the weights were "
                                      "written"));
  }
  return {};
}

}  // namespace

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

// Products of floats have floats on both sides, and the groups of one are those of the other.
Result<void> check_pair(const JsonMembers& group, const LinearScheme& scheme) {
  const Scheme& weight = scheme.weight;
  if (!scheme.input || weight.type != ValueType::kFloat) return {};
  if (scheme.input->type != ValueType::kFloat) {
    return fail(group.refused("input_activations").expects("floats beside weights of floats"));
  }
  const bool groups = scheme.input->granularity == Granularity::kGroup;
  if (!groups || scheme.input->group_size == weight.group_size) return {};
  return fail(group.refused("input_activations")
                  .expects("a group_size of " + std::to_string(weight.group_size) +
                           ", as the weights have along a row"));
}

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  QUANTLANE_TRY(const JsonMembers config,
                JsonMembers::of(source.config, "reading the compressed-tensors configuration",
                                source.origin));
  auto map = std::make_unique<Map>();
  QUANTLANE_TRY(map->ignore, ModulePatterns::read(config, "ignore", PatternStyle::kTargets));
  QUANTLANE_TRY_VOID(read_kv(config, *map));
  QUANTLANE_TRY_VOID(check_transforms(config));
  QUANTLANE_TRY_VOID(read_word(config, "quantization_status", "compressed",
                               {"initialized", "calibration", "frozen", "compressed"}));
  QUANTLANE_TRY(const auto common, read_format(config));
  QUANTLANE_TRY(const JsonMembers groups, config.object("config_groups"));
  if (groups.json().members().empty() && !config.has("kv_cache_scheme")) {
    return fail(
        config.wrong("config_groups").expects("at least one group, or a kv_cache_scheme alone"));
  }
  map->cache_alone = groups.json().members().empty();
  for (const auto& [name, value] : groups.json().members()) {
    QUANTLANE_TRY(const JsonMembers group, groups.object(name));
    QUANTLANE_TRY(const auto format, read_group_format(group, common));
    if (group.has("output_activations")) {
      return fail(group.refused("output_activations").expects("outputs that are not rounded"));
    }
    Map::Group read;
    QUANTLANE_TRY(read.targets, ModulePatterns::read(group, "targets", PatternStyle::kTargets));
    if (group.json()["targets"].items().empty()) {
      return fail(group.wrong("targets").expects("at least one name of a module or class"));
    }
    QUANTLANE_TRY(read.scheme.weight, read_weight_scheme(group, format));
    QUANTLANE_TRY_VOID(check_format(config, group, format, read.scheme.weight));
    read.format = format;
    QUANTLANE_TRY(read.scheme.input, read_input_scheme(group, format));
    QUANTLANE_TRY_VOID(check_pair(group, read.scheme));
    map->groups.push_back(std::move(read));
  }
  QUANTLANE_TRY_VOID(check_tensors(source, config, *map));
  return map;
}

}  // namespace quantlane::compressed_tensors
