#include "model/adapters/peft_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/check.h"
#include "model/adapters/adapter_parts.h"
#include "model/adapters/peft_keys.h"

namespace quantlane {
namespace {

Error cannot_merge(const std::string& origin, const std::string& key, std::string expected,
                   const Json& found) {
  return unsupported("merging an adapter")
      .in(origin)
      .of(key)
      .expects(std::move(expected))
      .got(found.dump());
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool has_suffix(std::string_view module, std::string_view name) {
  return module == name || (module.size() > name.size() && module.ends_with(name) &&
                            module[module.size() - name.size() - 1] == '.');
}

Result<std::vector<std::string>> read_list(const Json& value, const std::string& origin,
                                           const std::string& key) {
  std::vector<std::string> names;
  for (const Json& item : value.items()) {
    if (!item.is_string() || item.string().empty()) {
      return fail(bad_peft_value(origin, key, "names", item.dump()));
    }
    names.emplace_back(item.string());
  }
  return names;
}

// A list of names, or a string with a regular expression.
Result<void> read_names(const Json& value, const std::string& origin, const std::string& key,
                        std::vector<std::string>& names, std::optional<ModulePattern>& pattern) {
  if (value.is_string()) {
    QUANTLANE_TRY(pattern, ModulePattern::compile(std::string(value.string()), false, key, origin));
    return {};
  }
  QUANTLANE_TRY(names, read_list(value, origin, key));
  return {};
}

Result<void> read_targets(const Json& value, const std::string& origin, PeftConfig& config) {
  config.targets_given = !value.is_null();
  config.all_linear = lower(value.string()) == "all-linear";
  if (!config.targets_given) {
    config.notices.emplace_back(
        "target_modules is not given: the modules that have tensors are adapted");
  }
  if (value.is_array() && value.items().empty()) {
    return fail(bad_peft_value(origin, "target_modules", "at least one module", "[]"));
  }
  if (config.all_linear) return {};
  return read_names(value, origin, "target_modules", config.targets, config.target_pattern);
}

template <class T>
Result<void> read_patterns(const Json& value, const std::string& origin, const std::string& key,
                           std::vector<std::pair<ModulePattern, T>>& patterns) {
  for (const auto& [pattern, number] : value.members()) {
    const std::string name = key + "." + pattern;
    if constexpr (std::is_integral_v<T>) {
      const bool good =
          number.is_integer() && number.integer() >= 1 && number.integer() <= 1'000'000;
      if (!good) {
        return fail(bad_peft_value(origin, name, "an integer from 1 to a million", number.dump()));
      }
    } else if (!number.is_number() || !std::isfinite(number.number()) || number.number() == 0) {
      return fail(bad_peft_value(origin, name, "a number that is not 0, which merges nothing",
                                 number.dump()));
    }
    QUANTLANE_TRY(ModulePattern compiled, ModulePattern::compile(pattern, true, name, origin));
    patterns.emplace_back(std::move(compiled), static_cast<T>(number.number()));
  }
  return {};
}

// layers_to_transform selects among names only; PEFT takes the number behind layers_pattern.
Result<void> read_layers(const Json& json, const std::string& origin, PeftConfig& config) {
  const Json& value = json["layers_to_transform"];
  const Json& pattern = json["layers_pattern"];
  const bool by_pattern = json["target_modules"].is_string();
  for (const char* key : {"layers_to_transform", "layers_pattern"}) {
    if (!by_pattern || json[key].is_null()) continue;
    return fail(
        bad_peft_value(origin, key, "null where target_modules is a string", json[key].dump()));
  }
  const Json::Array one = {value};
  for (const Json& layer : value.is_integer() ? one : value.items()) {
    if (!layer.is_integer() || layer.integer() < 0) {
      return fail(bad_peft_value(origin, "layers_to_transform", "layers from 0", layer.dump()));
    }
    config.layers.push_back(layer.integer());
  }
  const Json::Array alone = {pattern};
  for (const Json& name : pattern.is_array() ? pattern.items() : alone) {
    if (name.is_null() || name.string("?").empty() || name.string() == "layers") continue;
    return fail(cannot_merge(origin, "layers_pattern", "\"layers\" or null", pattern));
  }
  return {};
}

Result<void> read_biases(const Json& value, const std::string& origin, PeftConfig& config) {
  const std::string_view name = value.string("none");
  if (name != "none" && name != "all" && name != "lora_only") {
    return fail(bad_peft_value(origin, "bias", "none, all or lora_only", value.dump()));
  }
  config.biases = name == "none"  ? PeftConfig::Biases::kNone
                  : name == "all" ? PeftConfig::Biases::kAll
                                  : PeftConfig::Biases::kOfAdapted;
  return {};
}

// A list belongs to the input embedding, an object has lists by module name.
Result<void> read_tokens(const Json& value, const std::string& origin, PeftConfig& config) {
  const auto read_rows = [&](const std::string& key, const std::string& module,
                             const Json& list) -> Result<void> {
    constexpr std::int64_t kMost = std::int64_t{1} << 31;
    std::vector<std::int64_t> rows;
    std::set<std::int64_t> seen;
    for (const Json& row : list.items()) {
      const bool good = row.is_integer() && row.integer() >= 0 && row.integer() < kMost;
      if (!good || !seen.insert(row.integer()).second) {
        return fail(bad_peft_value(origin, key, "ids of tokens, each once", row.dump()));
      }
      rows.push_back(row.integer());
    }
    if (!list.is_array() || module.empty()) {
      return fail(bad_peft_value(origin, key, "a module with a list of ids", list.dump()));
    }
    if (!rows.empty()) config.tokens.emplace_back(module, std::move(rows));
    return {};
  };
  const std::string key = "trainable_token_indices";
  if (value.is_array()) return read_rows(key, "embed_tokens", value);
  for (const auto& [module, list] : value.members()) {
    QUANTLANE_TRY_VOID(read_rows(key + "." + module, module, list));
  }
  return {};
}

// What changes the base before training, or the product itself: merging W + BA would be wrong.
Result<void> check_method(const Json& config, const std::string& origin) {
  const Json& type = config["peft_type"];
  if (type.string() != "LORA") return fail(cannot_merge(origin, "peft_type", "\"LORA\"", type));
  constexpr std::array<std::string_view, 5> kHarmless = {"gaussian", "eva", "orthogonal", "mica",
                                                         "true"};
  const Json& init = config["init_lora_weights"];
  if (init.is_string() && std::ranges::find(kHarmless, lower(init.string())) == kHarmless.end()) {
    return fail(cannot_merge(origin, "init_lora_weights",
                             "an initialisation that leaves the base as it is", init)
                    .advise("save it with PEFT's path_initial_model_for_weight_conversion first"));
  }
  for (const char* key :
       {"alora_invocation_tokens", "layer_replication", "arrow_config", "target_parameters",
        "kasa_config", "use_bdlora", "monteclora_config", "velora_config"}) {
    const Json& value = config[key];
    const bool set = !value.is_null() && (!value.is_array() || !value.items().empty());
    if (set) return fail(cannot_merge(origin, key, "null", value));
  }
  for (const char* key : {"lora_bias", "use_qalora"}) {
    if (config[key].boolean()) return fail(cannot_merge(origin, key, "false", config[key]));
  }
  return {};
}

void add_notices(const Json& json, const std::vector<std::string>& unknown, PeftConfig& config) {
  if (json["fan_in_fan_out"].boolean()) {
    config.notices.emplace_back(
        "fan_in_fan_out is set: the matrices of this base are stored [out, in], so it has no "
        "effect, as in PEFT");
  }
  if (config.alpha < 0) {
    config.notices.push_back(fmt::format(
        "lora_alpha is {}: the change is subtracted from the base, as in PEFT", config.alpha));
  }
  if (unknown.empty()) return;
  config.notices.push_back(fmt::format(
      "keys of adapter_config.json that are not known, ignored as PEFT ignores them: "
      "{}{}",
      fmt::join(unknown.begin(), unknown.begin() + std::min<std::ptrdiff_t>(5, std::ssize(unknown)),
                ", "),
      unknown.size() > 5 ? ", ..." : ""));
}

// The row of the first pattern that matches.
template <class T>
Result<std::optional<std::size_t>> first_match(
    const std::vector<std::pair<ModulePattern, T>>& patterns, std::string_view module) {
  for (std::size_t row = 0; row < patterns.size(); ++row) {
    QUANTLANE_TRY(const bool matches, patterns[row].first.matches(module));
    if (matches) return row;
  }
  return std::nullopt;
}

}  // namespace

Result<PeftConfig> PeftConfig::parse(const Json& json, const std::string& origin) {
  QUANTLANE_TRY(const auto unknown, read_peft_keys(json, origin));
  QUANTLANE_TRY_VOID(check_method(json, origin));
  PeftConfig config;
  config.origin = origin;
  QUANTLANE_TRY(config.rank, positive_integer(json, "r", origin));
  config.alpha = json["lora_alpha"].number();
  if (config.alpha == 0 || !std::isfinite(config.alpha)) {
    return fail(bad_peft_value(origin, "lora_alpha",
                               "a number that is not 0, which would merge nothing",
                               json["lora_alpha"].dump()));
  }
  config.rs_lora = json["use_rslora"].boolean();
  config.dora = json["use_dora"].boolean();
  config.made_for = json["base_model_name_or_path"].string();
  QUANTLANE_TRY_VOID(read_targets(json["target_modules"], origin, config));
  QUANTLANE_TRY_VOID(read_names(json["exclude_modules"], origin, "exclude_modules", config.excluded,
                                config.excluded_pattern));
  QUANTLANE_TRY(config.modules_to_save,
                read_list(json["modules_to_save"], origin, "modules_to_save"));
  QUANTLANE_TRY_VOID(read_layers(json, origin, config));
  QUANTLANE_TRY_VOID(read_tokens(json["trainable_token_indices"], origin, config));
  QUANTLANE_TRY_VOID(read_biases(json["bias"], origin, config));
  QUANTLANE_TRY_VOID(
      read_patterns(json["rank_pattern"], origin, "rank_pattern", config.rank_pattern));
  QUANTLANE_TRY_VOID(
      read_patterns(json["alpha_pattern"], origin, "alpha_pattern", config.alpha_pattern));
  add_notices(json, unknown, config);
  return config;
}

Result<PeftConfig::Settings> PeftConfig::settings_of(std::string_view module) const {
  Settings settings;
  QUANTLANE_TRY(settings.rank_row, first_match(rank_pattern, module));
  QUANTLANE_TRY(settings.alpha_row, first_match(alpha_pattern, module));
  settings.rank = settings.rank_row ? rank_pattern[*settings.rank_row].second : rank;
  const double own_alpha = settings.alpha_row ? alpha_pattern[*settings.alpha_row].second : alpha;
  const auto own_rank = static_cast<double>(settings.rank);
  settings.scale = own_alpha / (rs_lora ? std::sqrt(own_rank) : own_rank);
  QUANTLANE_TRY_VOID(check_scale(
      settings.scale,
      settings.alpha_row ? "alpha_pattern." + alpha_pattern[*settings.alpha_row].first.text()
                         : "lora_alpha",
      origin));
  return settings;
}

Result<bool> PeftConfig::targets_module(std::string_view module, std::int64_t layer, bool linear,
                                        bool head) const {
  const auto excludes = [module](const auto& name) { return has_suffix(module, name); };
  if (std::ranges::any_of(excluded, excludes) || saves(module, false)) return false;
  if (excluded_pattern) {
    QUANTLANE_TRY(const bool matches, excluded_pattern->matches(module));
    if (matches) return false;
  }
  if (all_linear) return linear && !head;
  if (target_pattern) return target_pattern->matches(module);
  return std::ranges::any_of(targets,
                             [&](const auto& name) { return name_reaches(name, module, layer); });
}

bool PeftConfig::name_reaches(std::string_view name, std::string_view module,
                              std::int64_t layer) const {
  if (module == name) return true;  // in any layer
  if (!has_suffix(module, name)) return false;
  return layers.empty() || std::ranges::find(layers, layer) != layers.end();
}

bool PeftConfig::saves(std::string_view name, bool loosely) const {
  for (std::size_t end = 0; end != std::string_view::npos && end < name.size();) {
    end = name.find('.', end + 1);
    const std::string_view outer = name.substr(0, end);
    for (const std::string& saved : modules_to_save) {
      if (loosely ? outer.ends_with(saved) : has_suffix(outer, saved)) return true;
    }
  }
  return false;
}

}  // namespace quantlane
