// adapter_config.json of PEFT, as far as a LoRA can be merged; for src/model/adapters only.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/regex.h"
#include "quantlane/result.h"

namespace quantlane {

struct PeftConfig {
  std::int64_t rank = 8;
  double alpha = 8;
  bool rs_lora = false;  // alpha / sqrt(r) (Kalajdzievski 2023) instead of alpha / r
  bool dora = false;
  // Modules by suffix, or one regular expression over whole module names; "all-linear".
  std::vector<std::string> targets;
  std::optional<Regex> target_pattern;
  bool all_linear = false;
  std::vector<std::string> excluded;
  std::optional<Regex> excluded_pattern;
  std::vector<std::int64_t> layers;  // layers_to_transform, empty = all
  std::vector<std::string> modules_to_save;
  std::vector<std::pair<Regex, std::int64_t>> rank_pattern;
  std::vector<std::pair<Regex, double>> alpha_pattern;
  bool fan_in_fan_out = false;
  std::string made_for;
  std::vector<std::string> notices;

  // kUnsupported for other methods and for initialisations that change the base (PiSSA, OLoRA, …),
  // kCorrupt for values of a wrong type or range; with the key.
  static Result<PeftConfig> parse(const Json& json, const std::string& origin);

  [[nodiscard]] std::int64_t rank_of(std::string_view module) const;
  [[nodiscard]] double scale_of(std::string_view module) const;
  // Does target_modules reach the module? `layer` -1 outside the blocks, `head`: the output matrix,
  // which "all-linear" leaves out.
  [[nodiscard]] bool targets_module(std::string_view module, std::int64_t layer, bool linear,
                                    bool head) const;
};

}  // namespace quantlane
