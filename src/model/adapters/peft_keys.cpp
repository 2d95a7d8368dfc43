// Source: LoraConfig and PeftConfigMixin of PEFT 0.21.
#include "model/adapters/peft_keys.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "model/adapters/adapter_parts.h"

namespace quantlane {
namespace {

struct PeftKind {
  std::string_view name;
  bool (*holds)(const Json& value);
};
constexpr PeftKind kPeftText = {"a string", [](const Json& v) { return v.is_string(); }};
constexpr PeftKind kPeftFlag = {"true or false",
                                [](const Json& v) { return v.is_bool() || v.is_null(); }};
constexpr PeftKind kPeftInteger = {"an integer", [](const Json& v) { return v.is_integer(); }};
constexpr PeftKind kPeftNumber = {"a number", [](const Json& v) { return v.is_number(); }};
constexpr PeftKind kPeftMaybeText = {"a string or null",
                                     [](const Json& v) { return v.is_string() || v.is_null(); }};
constexpr PeftKind kPeftMaybeNumber = {"a number or null",
                                       [](const Json& v) { return v.is_number() || v.is_null(); }};
constexpr PeftKind kPeftMaybeList = {"a list or null",
                                     [](const Json& v) { return v.is_array() || v.is_null(); }};
constexpr PeftKind kPeftMaybeObject = {"an object or null",
                                       [](const Json& v) { return v.is_object() || v.is_null(); }};
constexpr PeftKind kPeftNames = {"a list of names, a pattern or null", [](const Json& v) {
                                   return v.is_array() || v.is_string() || v.is_null();
                                 }};
constexpr PeftKind kPeftLayers = {"an integer, a list of integers or null", [](const Json& v) {
                                    return v.is_array() || v.is_integer() || v.is_null();
                                  }};
constexpr PeftKind kPeftTokens = {"a list, an object or null", [](const Json& v) {
                                    return v.is_array() || v.is_object() || v.is_null();
                                  }};
constexpr PeftKind kPeftInit = {"true, false, a name or null", [](const Json& v) {
                                  return v.is_bool() || v.is_string() || v.is_null();
                                }};

struct PeftKey {
  std::string_view name;
  const PeftKind* kind;
};
constexpr std::array kPeftKeys = {PeftKey{"alora_invocation_tokens", &kPeftMaybeList},
                                  PeftKey{"alpha_pattern", &kPeftMaybeObject},
                                  PeftKey{"arrow_config", &kPeftMaybeObject},
                                  PeftKey{"auto_mapping", &kPeftMaybeObject},
                                  PeftKey{"base_model_name_or_path", &kPeftMaybeText},
                                  PeftKey{"bias", &kPeftMaybeText},
                                  PeftKey{"corda_config", &kPeftMaybeObject},
                                  PeftKey{"ensure_weight_tying", &kPeftFlag},
                                  PeftKey{"eva_config", &kPeftMaybeObject},
                                  PeftKey{"exclude_modules", &kPeftNames},
                                  PeftKey{"fan_in_fan_out", &kPeftFlag},
                                  PeftKey{"inference_mode", &kPeftFlag},
                                  PeftKey{"init_lora_weights", &kPeftInit},
                                  PeftKey{"kasa_config", &kPeftMaybeObject},
                                  PeftKey{"layer_replication", &kPeftMaybeList},
                                  PeftKey{"layers_pattern", &kPeftNames},
                                  PeftKey{"layers_to_transform", &kPeftLayers},
                                  PeftKey{"loftq_config", &kPeftMaybeObject},
                                  PeftKey{"lora_alpha", &kPeftNumber},
                                  PeftKey{"lora_bias", &kPeftFlag},
                                  PeftKey{"lora_dropout", &kPeftMaybeNumber},
                                  PeftKey{"lora_ga_config", &kPeftMaybeObject},
                                  PeftKey{"megatron_config", &kPeftMaybeObject},
                                  PeftKey{"megatron_core", &kPeftMaybeText},
                                  PeftKey{"modules_to_save", &kPeftMaybeList},
                                  PeftKey{"monteclora_config", &kPeftMaybeObject},
                                  PeftKey{"peft_type", &kPeftText},
                                  PeftKey{"peft_version", &kPeftMaybeText},
                                  PeftKey{"qalora_group_size", &kPeftMaybeNumber},
                                  PeftKey{"r", &kPeftInteger},
                                  PeftKey{"rank_pattern", &kPeftMaybeObject},
                                  PeftKey{"revision", &kPeftMaybeText},
                                  PeftKey{"runtime_config", &kPeftMaybeObject},
                                  PeftKey{"target_modules", &kPeftNames},
                                  PeftKey{"target_parameters", &kPeftMaybeList},
                                  PeftKey{"task_type", &kPeftMaybeText},
                                  PeftKey{"trainable_token_indices", &kPeftTokens},
                                  PeftKey{"use_bdlora", &kPeftMaybeObject},
                                  PeftKey{"use_dora", &kPeftFlag},
                                  PeftKey{"use_qalora", &kPeftFlag},
                                  PeftKey{"use_rslora", &kPeftFlag},
                                  PeftKey{"velora_config", &kPeftMaybeObject}};

constexpr std::array<std::string_view, 3> kPeftRequired = {"peft_type", "r", "lora_alpha"};

}  // namespace

Error bad_peft_value(const std::string& origin, const std::string& key, std::string expected,
                     std::string found) {
  constexpr std::size_t kMost = 200;
  if (found.size() > kMost) found = found.substr(0, kMost) + "...";
  return bad_adapter_value(origin, key, std::move(expected), std::move(found), "PEFT");
}

Result<void> check_peft_types(const Json& config, const std::string& origin) {
  for (const PeftKey& key : kPeftKeys) {
    const Json* value = config.find(key.name);
    const bool required = std::ranges::find(kPeftRequired, key.name) != kPeftRequired.end();
    if (value == nullptr && !required) continue;
    if (value != nullptr && key.kind->holds(*value)) continue;
    return fail(bad_peft_value(origin, std::string(key.name), std::string(key.kind->name),
                               value == nullptr ? "no such key" : value->dump()));
  }
  return {};
}

std::vector<std::string> unknown_peft_keys(const Json& config) {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : config.members()) {
    if (std::ranges::find(kPeftKeys, name, &PeftKey::name) == kPeftKeys.end())
      unknown.push_back(name);
  }
  return unknown;
}

}  // namespace quantlane
