#include "containers/dialects/compressed_tensors_config.h"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/regex.h"

namespace quantlane::compressed_tensors {
namespace {

std::string_view format_name(Layout layout) {
  constexpr std::array<std::string_view, 3> kNames = {"float-quantized", "int-quantized",
                                                      "pack-quantized"};
  return kNames[static_cast<std::size_t>(layout)];
}

// A target or ignore entry: an exact module path, a class name, or "re:" and a regular expression.
struct Matcher {
  std::string text;
  std::optional<Regex> regex;
  [[nodiscard]] bool matches(std::string_view module) const {
    if (regex) return regex->matches_start(module);
    return text == module || text == "Linear";
  }
};

Result<std::vector<Matcher>> read_matchers(const Json& list) {
  std::vector<Matcher> matchers;
  for (const Json& item : list.items()) {
    Matcher matcher{.text = std::string(item.string()), .regex = std::nullopt};
    if (matcher.text.starts_with("re:")) {
      QUANTLANE_TRY(matcher.regex, Regex::compile(std::string_view(matcher.text).substr(3)));
    }
    matchers.push_back(std::move(matcher));
  }
  return matchers;
}

bool any_matches(const std::vector<Matcher>& matchers, std::string_view module) {
  for (const Matcher& matcher : matchers) {
    if (matcher.matches(module)) return true;
  }
  return false;
}

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
  if (strategy == "group")
    return args["group_size"].integer() > 0 ? Granularity::kGroup : Granularity::kChannel;
  if (strategy == "token") return Granularity::kToken;
  return fail(bad_argument(origin, "strategy", args["strategy"])
                  .expects("tensor, channel, group or token"));
}

Result<ValueType> read_type(const Json& args, const std::string& origin) {
  const std::string_view type = args["type"].string("int");
  const std::int64_t bits = args["num_bits"].integer(8);
  if (type == "int" && bits >= 2 && bits <= 8) return ValueType::kInt;
  if (type == "float" && bits == 8) return ValueType::kFloat;
  return fail(bad_argument(origin, "num_bits", args["num_bits"]).expects("int 2..8 or float 8"));
}

Result<Scheme> read_weight_scheme(const Json& args, const std::string& origin) {
  Scheme scheme;
  QUANTLANE_TRY(scheme.type, read_type(args, origin));
  QUANTLANE_TRY(scheme.granularity, read_strategy(args, origin));
  scheme.bits = static_cast<int>(args["num_bits"].integer(8));
  scheme.symmetric = args["symmetric"].boolean(true);
  const std::int64_t group = args["group_size"].integer();
  if (group > 1 << 20) return fail(bad_argument(origin, "group_size", args["group_size"]));
  if (scheme.granularity == Granularity::kGroup) scheme.group_size = static_cast<int>(group);
  if (scheme.granularity == Granularity::kToken) {
    return fail(
        bad_argument(origin, "strategy", args["strategy"]).expects("a strategy for weights"));
  }
  return scheme;
}

Result<std::optional<ActivationScheme>> read_input_scheme(const Json& args,
                                                          const std::string& origin) {
  if (!args.is_object()) return std::nullopt;
  ActivationScheme scheme;
  QUANTLANE_TRY(scheme.type, read_type(args, origin));
  QUANTLANE_TRY(scheme.granularity, read_strategy(args, origin));
  scheme.bits = static_cast<int>(args["num_bits"].integer(8));
  scheme.dynamic = args["dynamic"].boolean(false);
  if (scheme.granularity != Granularity::kToken || !scheme.dynamic || scheme.bits != 8 ||
      !args["symmetric"].boolean(true)) {
    return fail(bad_argument(origin, "input_activations", args)
                    .expects("8 bits, symmetric, dynamic, one scale per token"));
  }
  return scheme;
}

class Map final : public QuantizationMap {
 public:
  struct Group {
    std::vector<Matcher> targets;
    LinearScheme scheme;
  };
  std::vector<Group> groups;
  std::vector<Matcher> ignore;

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    if (any_matches(ignore, module)) return std::nullopt;
    for (const Group& group : groups) {
      if (any_matches(group.targets, module)) return group.scheme;
    }
    return std::nullopt;
  }
};

Json write_arguments(ValueType type, int bits, Granularity granularity, int group_size,
                     bool symmetric, bool dynamic) {
  constexpr std::array<std::string_view, 4> kStrategies = {"tensor", "channel", "group", "token"};
  Json args;
  args.set("num_bits", bits);
  args.set("type", type == ValueType::kInt ? "int" : "float");
  args.set("symmetric", symmetric);
  args.set("strategy", kStrategies[static_cast<std::size_t>(granularity)]);
  if (granularity == Granularity::kGroup) args.set("group_size", group_size);
  args.set("dynamic", dynamic);
  return args;
}

}  // namespace

Layout layout_of(const LinearScheme& scheme) {
  if (scheme.weight.type == ValueType::kFloat) return Layout::kFloat;
  return scheme.input ? Layout::kInt : Layout::kPacked;
}

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

Result<std::unique_ptr<QuantizationMap>> read_config(const Json& config,
                                                     const std::string& origin) {
  auto map = std::make_unique<Map>();
  QUANTLANE_TRY(map->ignore, read_matchers(config["ignore"]));
  if (config["config_groups"].members().empty()) {
    return fail(corrupt("reading quantization_config")
                    .in(origin)
                    .of("config_groups")
                    .expects("at least one group"));
  }
  for (const auto& [name, group] : config["config_groups"].members()) {
    Map::Group read;
    QUANTLANE_TRY(read.targets, read_matchers(group["targets"]));
    QUANTLANE_TRY(read.scheme.weight, read_weight_scheme(group["weights"], origin));
    QUANTLANE_TRY(read.scheme.input, read_input_scheme(group["input_activations"], origin));
    map->groups.push_back(std::move(read));
  }
  return map;
}

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore) {
  const std::string_view format = format_name(layout_of(scheme));
  const Scheme& w = scheme.weight;
  Json group;
  group.set("targets", Json::array().push("Linear"));
  group.set("weights",
            write_arguments(w.type, w.bits, w.granularity, w.group_size, w.symmetric, false));
  group.set("input_activations",
            scheme.input
                ? write_arguments(scheme.input->type, scheme.input->bits, scheme.input->granularity,
                                  0, true, scheme.input->dynamic)
                : Json());
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

}  // namespace quantlane::compressed_tensors
