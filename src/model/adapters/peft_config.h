// adapter_config.json of PEFT, as far as a LoRA can be merged; for src/model/adapters only.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"
#include "model/adapters/module_pattern.h"
#include "quantlane/result.h"

namespace quantlane {

// What stands before the names of modules in the tensors of PEFT.
inline constexpr std::array<std::string_view, 3> kPeftPrefixes = {"base_model.model.",
                                                                  "base_model.", ""};

struct PeftConfig {
  enum class Biases : std::uint8_t { kNone, kAll, kOfAdapted };
  // How one module is adapted, and which row of the patterns decided that (none: r, lora_alpha).
  struct Settings {
    std::int64_t rank = 0;
    double scale = 0;
    std::optional<std::size_t> rank_row;
    std::optional<std::size_t> alpha_row;
  };

  std::string origin;  // for messages
  std::int64_t rank = 8;
  double alpha = 8;
  bool rs_lora = false;  // alpha / sqrt(r) (Kalajdzievski 2023) instead of alpha / r
  bool dora = false;
  // Modules by suffix, or one regular expression over whole module names; "all-linear".
  std::vector<std::string> targets;
  std::optional<ModulePattern> target_pattern;
  bool all_linear = false;
  bool targets_given = false;  // else the tensors say which
  std::vector<std::string> excluded;
  std::optional<ModulePattern> excluded_pattern;
  std::vector<std::int64_t> layers;  // layers_to_transform, empty = all
  std::vector<std::string> modules_to_save;
  Biases biases = Biases::kNone;  // trained along
  // trainable_token_indices: modules by the end of their names, and their rows.
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> tokens;
  std::vector<std::pair<ModulePattern, std::int64_t>> rank_pattern;
  std::vector<std::pair<ModulePattern, double>> alpha_pattern;
  std::string made_for;
  std::vector<std::string> notices;

  // kUnsupported for other methods and for initialisations that change the base (PiSSA, OLoRA, …),
  // kCorrupt for values of a wrong type or range; with the key.
  static Result<PeftConfig> parse(const Json& json, const std::string& origin);

  // kCorrupt for a scale that float32 does not hold, kResourceLimit for expensive patterns.
  [[nodiscard]] Result<Settings> settings_of(std::string_view module) const;
  // Does target_modules reach the module? `layer` -1 outside the blocks, `head`: the output matrix,
  // which "all-linear" leaves out.
  [[nodiscard]] Result<bool> targets_module(std::string_view module, std::int64_t layer,
                                            bool linear, bool head) const;
  // Does the name in `targets` reach the module?
  [[nodiscard]] bool name_reaches(std::string_view name, std::string_view module,
                                  std::int64_t layer) const;
  // Is the parameter or module inside one of modules_to_save? `loosely`: by the end of a name, as
  // PEFT saves them; else by whole names, as it leaves them out of the targets.
  [[nodiscard]] bool saves(std::string_view name, bool loosely) const;
};

}  // namespace quantlane
