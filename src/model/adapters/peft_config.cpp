#include "model/adapters/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "core/check.h"
#include "model/adapters/adapter_parts.h"

namespace quantlane {
namespace {

Error bad_value(const std::string& origin, const std::string& key, std::string expected,
                const Json& found) {
  return corrupt("reading an adapter's configuration")
      .in(origin)
      .of(key)
      .expects(std::move(expected))
      .got(found.dump());
}
Error cannot_merge(const std::string& origin, const std::string& key, std::string expected,
                   const Json& found) {
  return unsupported("merging an adapter")
      .in(origin)
      .of(key)
      .expects(std::move(expected))
      .got(found.dump());
}

// `pattern` as PEFT matches whole module names.
Result<Regex> whole_name(const std::string& pattern, const std::string& origin,
                         const std::string& key) {
  // \A and \z: the lines of a pattern would otherwise end at line breaks.
  auto regex = Regex::compile("\\A(?:" + pattern + ")\\z");
  if (!regex) return fail(bad_value(origin, key, "a regular expression", Json(pattern)));
  return regex;
}

bool has_suffix(std::string_view module, std::string_view name) {
  return module == name || (module.size() > name.size() && module.ends_with(name) &&
                            module[module.size() - name.size() - 1] == '.');
}

// A list of names, or a string with a regular expression.
Result<void> read_names(const Json& value, const std::string& origin, const std::string& key,
                        std::vector<std::string>& names, std::optional<Regex>& pattern) {
  if (value.is_null()) return {};
  if (value.is_string()) {
    QUANTLANE_TRY(pattern, whole_name(std::string(value.string()), origin, key));
    return {};
  }
  for (const Json& item : value.items()) {
    if (!item.is_string()) return fail(bad_value(origin, key, "names", item));
    names.emplace_back(item.string());
  }
  if (!value.is_array()) return fail(bad_value(origin, key, "a list or a pattern", value));
  return {};
}

template <class T>
Result<void> read_patterns(const Json& value, const std::string& origin, const std::string& key,
                           std::vector<std::pair<Regex, T>>& patterns) {
  if (value.is_null()) return {};
  if (!value.is_object()) return fail(bad_value(origin, key, "an object", value));
  for (const auto& [pattern, number] : value.members()) {
    const bool good = std::is_integral_v<T> ? number.is_integer() && number.integer() >= 1 &&
                                                  number.integer() <= 1'000'000
                                            : number.is_number() && std::isfinite(number.number());
    if (!good) return fail(bad_value(origin, key + "." + pattern, "a number", number));
    QUANTLANE_TRY(Regex regex, whole_name("(?:.*\\.)?(?:" + pattern + ")", origin, key));
    patterns.emplace_back(std::move(regex), static_cast<T>(number.number()));
  }
  return {};
}

Result<void> read_layers(const Json& value, const std::string& origin,
                         std::vector<std::int64_t>& layers) {
  if (value.is_integer()) layers.push_back(value.integer());
  for (const Json& layer : value.items()) {
    if (!layer.is_integer()) return fail(bad_value(origin, "layers_to_transform", "layers", layer));
    layers.push_back(layer.integer());
  }
  return {};
}

// What changes the base before training, or the product itself: merging W + BA would be wrong.
Result<void> check_method(const Json& config, const std::string& origin) {
  const Json& type = config["peft_type"];
  if (type.string() != "LORA") return fail(cannot_merge(origin, "peft_type", "\"LORA\"", type));
  const Json& init = config["init_lora_weights"];
  for (const std::string_view changed : {"pissa", "olora", "corda", "loftq"}) {
    if (!init.string().starts_with(changed)) continue;
    return fail(cannot_merge(origin, "init_lora_weights",
                             "an initialisation that leaves the base as it is", init)
                    .advise("save it with PEFT's path_initial_model_for_weight_conversion first"));
  }
  for (const char* key : {"alora_invocation_tokens", "trainable_token_indices", "layer_replication",
                          "arrow_config"}) {
    const Json& value = config[key];
    const bool set = !value.is_null() && (!value.is_array() || !value.items().empty());
    if (set) return fail(cannot_merge(origin, key, "null", value));
  }
  if (!config["target_parameters"].items().empty()) {
    return fail(cannot_merge(origin, "target_parameters", "none", config["target_parameters"]));
  }
  if (config["lora_bias"].boolean()) {
    return fail(cannot_merge(origin, "lora_bias", "false", config["lora_bias"]));
  }
  return {};
}

}  // namespace

Result<PeftConfig> PeftConfig::parse(const Json& json, const std::string& origin) {
  QUANTLANE_TRY_VOID(check_method(json, origin));
  PeftConfig config;
  QUANTLANE_TRY(config.rank, positive_integer(json, "r", origin));
  const Json& alpha = json["lora_alpha"];
  if (!alpha.is_number() || !std::isfinite(alpha.number())) {
    return fail(bad_value(origin, "lora_alpha", "a number", alpha));
  }
  config.alpha = alpha.number();
  config.rs_lora = json["use_rslora"].boolean();
  config.dora = json["use_dora"].boolean();
  config.fan_in_fan_out = json["fan_in_fan_out"].boolean();
  config.made_for = json["base_model_name_or_path"].string();
  config.all_linear = json["target_modules"].string() == "all-linear";
  if (!config.all_linear) {
    QUANTLANE_TRY_VOID(read_names(json["target_modules"], origin, "target_modules", config.targets,
                                  config.target_pattern));
  }
  QUANTLANE_TRY_VOID(read_names(json["exclude_modules"], origin, "exclude_modules", config.excluded,
                                config.excluded_pattern));
  std::optional<Regex> none;
  QUANTLANE_TRY_VOID(
      read_names(json["modules_to_save"], origin, "modules_to_save", config.modules_to_save, none));
  if (none) return fail(bad_value(origin, "modules_to_save", "a list", json["modules_to_save"]));
  QUANTLANE_TRY_VOID(read_layers(json["layers_to_transform"], origin, config.layers));
  QUANTLANE_TRY_VOID(
      read_patterns(json["rank_pattern"], origin, "rank_pattern", config.rank_pattern));
  QUANTLANE_TRY_VOID(
      read_patterns(json["alpha_pattern"], origin, "alpha_pattern", config.alpha_pattern));
  if (config.fan_in_fan_out) {
    config.notices.emplace_back(
        "fan_in_fan_out is set: the matrices of this base are stored [out, in], so it has no "
        "effect, as in PEFT");
  }
  return config;
}

std::int64_t PeftConfig::rank_of(std::string_view module) const {
  for (const auto& [pattern, value] : rank_pattern) {
    if (pattern.found_in(module)) return value;
  }
  return rank;
}

double PeftConfig::scale_of(std::string_view module) const {
  double own_alpha = alpha;
  for (const auto& [pattern, value] : alpha_pattern) {
    if (!pattern.found_in(module)) continue;
    own_alpha = value;
    break;
  }
  const auto own_rank = static_cast<double>(rank_of(module));
  return own_alpha / (rs_lora ? std::sqrt(own_rank) : own_rank);
}

bool PeftConfig::targets_module(std::string_view module, std::int64_t layer, bool linear,
                                bool head) const {
  const auto listed = [module](const std::vector<std::string>& names) {
    return std::ranges::any_of(names, [&](const auto& name) { return has_suffix(module, name); });
  };
  if (listed(excluded) || (excluded_pattern && excluded_pattern->found_in(module))) return false;
  if (all_linear) return linear && !head;
  if (target_pattern) return target_pattern->found_in(module);
  if (!listed(targets)) return false;
  return layers.empty() || std::ranges::find(layers, layer) != layers.end();
}

}  // namespace quantlane
