#include <algorithm>

#include <fmt/format.h>

#include "core/check.h"
#include "model/arch/bounds.h"
#include "model/arch/common.h"

namespace quantlane {
namespace {

Result<RopeScaling> read_scaling(const ConfigReader& rope, std::string_view type_key) {
  RopeScaling scaling;
  QUANTLANE_TRY(const std::string type, rope.string(type_key, "default"));
  if (type == "default") return scaling;
  if (type != "linear" && type != "llama3") {
    return fail(rope.error(ErrorCode::kUnsupported, type_key,
                           "a RoPE scaling among default, linear, llama3"));
  }
  QUANTLANE_TRY(scaling.factor, rope.number("factor", 1, 1e6));
  scaling.kind = RopeScaling::Kind::kLinear;
  if (type == "linear") return scaling;
  scaling.kind = RopeScaling::Kind::kLlama3;
  QUANTLANE_TRY(scaling.low_freq_factor, rope.number("low_freq_factor", 1e-3, 1e6));
  QUANTLANE_TRY(scaling.high_freq_factor, rope.number("high_freq_factor", 1e-3, 1e6));
  QUANTLANE_TRY(scaling.original_context,
                rope.integer("original_max_position_embeddings", kContext));
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    return fail(
        rope.error(ErrorCode::kCorrupt, "high_freq_factor", "a number above low_freq_factor"));
  }
  return scaling;
}

Result<Rope> read_rope(const ConfigReader& reader, double default_theta) {
  if (const auto rope = reader.nested("rope_parameters")) {
    // Per kind of layer: the family reads it.
    if (rope->nested("full_attention")) return Rope{.theta = default_theta, .scaling = {}};
    return read_rope_parameters(*rope, default_theta);
  }
  Rope result;
  QUANTLANE_TRY(result.theta, reader.number("rope_theta", 1, kLargestTheta, default_theta));
  if (const auto rope = reader.nested("rope_scaling")) {
    const bool has_new_key = rope->find("rope_type") != nullptr;
    QUANTLANE_TRY(result.scaling, read_scaling(*rope, has_new_key ? "rope_type" : "type"));
  }
  return result;
}

Result<void> check_activation(const ConfigReader& reader, const FamilyDefaults& defaults) {
  QUANTLANE_TRY(const std::string name,
                reader.string(defaults.activation_key, defaults.activation));
  if (name == defaults.activation) return {};
  return fail(reader.error(ErrorCode::kUnsupported, defaults.activation_key,
                           fmt::format("\"{}\"", defaults.activation)));
}

}  // namespace

Result<Rope> read_rope_parameters(const ConfigReader& rope, double default_theta) {
  Rope result;
  QUANTLANE_TRY(const double partial, rope.number("partial_rotary_factor", 0, 1, 1.0));
  if (partial != 1) {
    return fail(rope.error(ErrorCode::kUnsupported, "partial_rotary_factor", "1"));
  }
  QUANTLANE_TRY(result.theta, rope.number("rope_theta", 1, kLargestTheta, default_theta));
  QUANTLANE_TRY(result.scaling, read_scaling(rope, "rope_type"));
  return result;
}

Result<ModelConfig> read_hugging_face(const ConfigReader& reader, std::string_view architecture,
                                      const FamilyDefaults& defaults) {
  ModelConfig config;
  config.architecture = architecture;
  QUANTLANE_TRY(config.vocab_size, reader.integer("vocab_size", kVocabulary, defaults.vocab_size));
  QUANTLANE_TRY(config.hidden_size, reader.integer("hidden_size", kHidden));
  QUANTLANE_TRY(config.intermediate_size, reader.integer("intermediate_size", kIntermediate));
  QUANTLANE_TRY(config.layer_count, reader.integer("num_hidden_layers", kLayers));
  QUANTLANE_TRY(config.head_count,
                reader.integer("num_attention_heads", kHeads, defaults.head_count));
  QUANTLANE_TRY(config.kv_head_count,
                reader.integer("num_key_value_heads", {1, config.head_count},
                               defaults.kv_head_count.value_or(config.head_count)));
  QUANTLANE_TRY(config.head_dim,
                reader.integer("head_dim", kHeadDim, defaults.head_dim.value_or(0)));
  if (config.head_dim == 0) {
    QUANTLANE_TRY(config.head_dim, head_dim_of(config, reader.origin()));
  }
  QUANTLANE_TRY(config.context_length,
                reader.integer("max_position_embeddings", kContext, defaults.context_length));
  QUANTLANE_TRY(config.rms_norm_eps, reader.number("rms_norm_eps", 0, 1, defaults.rms_norm_eps));
  QUANTLANE_TRY(const double partial, reader.number("partial_rotary_factor", 0, 1, 1.0));
  if (partial != 1) {
    return fail(reader.error(ErrorCode::kUnsupported, "partial_rotary_factor", "1"));
  }
  QUANTLANE_TRY(const Rope rope, read_rope(reader, defaults.rope_theta));
  config.rope_theta = rope.theta;
  config.rope_scaling = rope.scaling;
  QUANTLANE_TRY(config.tied_embeddings,
                reader.boolean("tie_word_embeddings", defaults.tied_embeddings));
  QUANTLANE_TRY_VOID(check_activation(reader, defaults));
  QUANTLANE_TRY_VOID(check_sizes(config, reader.origin()));
  return config;
}

Result<std::optional<std::vector<std::int64_t>>> read_layer_types(const ConfigReader& reader,
                                                                  std::int64_t layer_count,
                                                                  std::int64_t window) {
  const Json* types = reader.find("layer_types");
  if (types == nullptr) return std::nullopt;
  if (!types->is_array() || types->items().size() != static_cast<std::size_t>(layer_count)) {
    return fail(reader.error(ErrorCode::kCorrupt, "layer_types",
                             fmt::format("a list of {} names, one per layer", layer_count)));
  }
  std::vector<std::int64_t> windows;
  for (const Json& type : types->items()) {
    if (type.string() != "full_attention" && type.string() != "sliding_attention") {
      return fail(reader
                      .error(ErrorCode::kUnsupported, "layer_types",
                             "only full_attention and sliding_attention")
                      .got(type.dump()));
    }
    windows.push_back(type.string() == "sliding_attention" ? window : 0);
  }
  if (std::ranges::all_of(windows, [](std::int64_t w) { return w == 0; })) windows.clear();
  return windows;
}

Result<void> read_qwen_windows(const ConfigReader& reader, ModelConfig& config) {
  QUANTLANE_TRY(const bool used, reader.boolean("use_sliding_window", false));
  if (!used) return {};
  QUANTLANE_TRY(const std::int64_t window, reader.integer("sliding_window", kWindowRange, 4096));
  QUANTLANE_TRY(const std::int64_t first,
                reader.integer("max_window_layers", {0, std::int64_t{1} << 31}, 28));
  QUANTLANE_TRY(auto windows, read_layer_types(reader, config.layer_count, window));
  if (windows) {
    config.window_of_layer = std::move(*windows);
  } else if (first < config.layer_count) {
    config.window_of_layer.assign(static_cast<std::size_t>(config.layer_count), window);
    std::fill_n(config.window_of_layer.begin(), first, 0);
  }
  return {};
}

Result<void> refuse_flag(const ConfigReader& reader, std::string_view key) {
  QUANTLANE_TRY(const bool set, reader.boolean(key, false));
  if (set) return fail(reader.error(ErrorCode::kUnsupported, key, "false"));
  return {};
}

namespace {

Json rope_json(double theta, const RopeScaling& scaling) {
  Json rope;
  rope.set("rope_theta", theta);
  if (scaling.kind == RopeScaling::Kind::kNone) return rope.set("rope_type", "default");
  rope.set("factor", scaling.factor);
  if (scaling.kind == RopeScaling::Kind::kLinear) return rope.set("rope_type", "linear");
  rope.set("low_freq_factor", scaling.low_freq_factor);
  rope.set("high_freq_factor", scaling.high_freq_factor);
  rope.set("original_max_position_embeddings", scaling.original_context);
  return rope.set("rope_type", "llama3");
}

}  // namespace

Json write_hugging_face(const ModelConfig& config, std::string_view class_name,
                        std::string_view model_type, const FamilyDefaults& defaults) {
  Json json;
  json.set("architectures", Json::array().push(class_name));
  json.set("model_type", model_type);
  json.set("vocab_size", config.vocab_size);
  json.set("hidden_size", config.hidden_size);
  json.set("intermediate_size", config.intermediate_size);
  json.set("num_hidden_layers", config.layer_count);
  json.set("num_attention_heads", config.head_count);
  json.set("num_key_value_heads", config.kv_head_count);
  json.set("head_dim", config.head_dim);
  json.set("max_position_embeddings", config.context_length);
  json.set("rms_norm_eps", config.rms_norm_eps);
  json.set("tie_word_embeddings", config.tied_embeddings);
  json.set(std::string(defaults.activation_key), defaults.activation);
  json.set("rope_parameters", rope_json(config.rope_theta, config.rope_scaling));
  return json;
}

void write_layer_types(const ModelConfig& config, Json& json) {
  Json types = Json::array();
  for (std::int64_t i = 0; i < config.layer_count; ++i) {
    types.push(config.window(i) > 0 ? "sliding_attention" : "full_attention");
  }
  json.set("layer_types", std::move(types));
}

void write_qwen_windows(const ModelConfig& config, Json& json) {
  const auto largest = std::ranges::max_element(config.window_of_layer);
  const bool used = largest != config.window_of_layer.end() && *largest > 0;
  json.set("use_sliding_window", used);
  if (!used) return;
  json.set("sliding_window", *largest);
  json.set("max_window_layers", 0);
  write_layer_types(config, json);
}

}  // namespace quantlane
