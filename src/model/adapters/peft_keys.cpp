// Source: LoraConfig and PeftConfigMixin of PEFT 0.21.
#include "model/adapters/peft_keys.h"

#include <array>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/json_members.h"
#include "model/adapters/adapter_parts.h"

namespace quantlane {
namespace {

constexpr JsonKind kPeftText = {"a string", [](const Json& v) { return v.is_string(); }};
constexpr JsonKind kPeftFlag = {"true or false", [](const Json& v) { return v.is_bool(); }};
constexpr JsonKind kPeftInteger = {"an integer", [](const Json& v) { return v.is_integer(); }};
constexpr JsonKind kPeftNumber = {"a number", [](const Json& v) { return v.is_number(); }};
constexpr JsonKind kPeftMaybeText = {"a string or null",
                                     [](const Json& v) { return v.is_string(); }};
constexpr JsonKind kPeftMaybeNumber = {"a number or null",
                                       [](const Json& v) { return v.is_number(); }};
constexpr JsonKind kPeftMaybeList = {"a list or null", [](const Json& v) { return v.is_array(); }};
constexpr JsonKind kPeftMaybeObject = {"an object or null",
                                       [](const Json& v) { return v.is_object(); }};
constexpr JsonKind kPeftNames = {"a list of names, a pattern or null",
                                 [](const Json& v) { return v.is_array() || v.is_string(); }};
constexpr JsonKind kPeftLayers = {"an integer, a list of integers or null",
                                  [](const Json& v) { return v.is_array() || v.is_integer(); }};
constexpr JsonKind kPeftTokens = {"a list, an object or null",
                                  [](const Json& v) { return v.is_array() || v.is_object(); }};
constexpr JsonKind kPeftInit = {"true, false, a name or null",
                                [](const Json& v) { return v.is_bool() || v.is_string(); }};

constexpr std::array kPeftKeys = {JsonKey{"alora_invocation_tokens", &kPeftMaybeList},
                                  JsonKey{"alpha_pattern", &kPeftMaybeObject},
                                  JsonKey{"arrow_config", &kPeftMaybeObject},
                                  JsonKey{"auto_mapping", &kPeftMaybeObject},
                                  JsonKey{"base_model_name_or_path", &kPeftMaybeText},
                                  JsonKey{"bias", &kPeftMaybeText},
                                  JsonKey{"corda_config", &kPeftMaybeObject},
                                  JsonKey{"ensure_weight_tying", &kPeftFlag},
                                  JsonKey{"eva_config", &kPeftMaybeObject},
                                  JsonKey{"exclude_modules", &kPeftNames},
                                  JsonKey{"fan_in_fan_out", &kPeftFlag},
                                  JsonKey{"inference_mode", &kPeftFlag},
                                  JsonKey{"init_lora_weights", &kPeftInit},
                                  JsonKey{"kasa_config", &kPeftMaybeObject},
                                  JsonKey{"layer_replication", &kPeftMaybeList},
                                  JsonKey{"layers_pattern", &kPeftNames},
                                  JsonKey{"layers_to_transform", &kPeftLayers},
                                  JsonKey{"loftq_config", &kPeftMaybeObject},
                                  JsonKey{"lora_alpha", &kPeftNumber, true},
                                  JsonKey{"lora_bias", &kPeftFlag},
                                  JsonKey{"lora_dropout", &kPeftMaybeNumber},
                                  JsonKey{"lora_ga_config", &kPeftMaybeObject},
                                  JsonKey{"megatron_config", &kPeftMaybeObject},
                                  JsonKey{"megatron_core", &kPeftMaybeText},
                                  JsonKey{"modules_to_save", &kPeftMaybeList},
                                  JsonKey{"monteclora_config", &kPeftMaybeObject},
                                  JsonKey{"peft_type", &kPeftText, true},
                                  JsonKey{"peft_version", &kPeftMaybeText},
                                  JsonKey{"qalora_group_size", &kPeftMaybeNumber},
                                  JsonKey{"r", &kPeftInteger, true},
                                  JsonKey{"rank_pattern", &kPeftMaybeObject},
                                  JsonKey{"revision", &kPeftMaybeText},
                                  JsonKey{"runtime_config", &kPeftMaybeObject},
                                  JsonKey{"target_modules", &kPeftNames},
                                  JsonKey{"target_parameters", &kPeftMaybeList},
                                  JsonKey{"task_type", &kPeftMaybeText},
                                  JsonKey{"trainable_token_indices", &kPeftTokens},
                                  JsonKey{"use_bdlora", &kPeftMaybeObject},
                                  JsonKey{"use_dora", &kPeftFlag},
                                  JsonKey{"use_qalora", &kPeftFlag},
                                  JsonKey{"use_rslora", &kPeftFlag},
                                  JsonKey{"velora_config", &kPeftMaybeObject}};

}  // namespace

Error bad_peft_value(const std::string& origin, const std::string& key, std::string expected,
                     std::string found) {
  return bad_adapter_value(origin, key, std::move(expected), excerpt(std::move(found)), "PEFT");
}

Result<std::vector<std::string>> read_peft_keys(const Json& config, const std::string& origin) {
  const auto members = JsonMembers::of(config, "reading an adapter's configuration", origin);
  if (!members) {
    return fail(bad_peft_value(origin, "peft_type", "an object with this key", config.dump()));
  }
  if (const auto checked = members->check(kPeftKeys); !checked) {
    const Error& error = checked.error();
    return fail(bad_adapter_value(origin, error.tensor, error.expected, error.found, "PEFT"));
  }
  return members->others(kPeftKeys);
}

}  // namespace quantlane
