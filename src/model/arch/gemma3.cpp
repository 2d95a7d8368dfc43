// Gemma 3 (the text decoder): norms stored minus one, four norms per block, embeddings scaled by
// sqrt(D), windowed layers with their own RoPE base between full ones.
// Source: transformers models/gemma3/configuration_gemma3.py and modeling_gemma3.py; llama.cpp
// src/models/gemma3.cpp for what a GGUF file leaves unsaid (window period 6, scale of the 27B).
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "model/arch/common.h"
#include "model/arch/rows.h"

namespace quantlane {
namespace {

constexpr std::int64_t kDefaultPeriod = 6;  // every sixth layer attends to everything
constexpr IntegerRange kPeriodRange = {1, 1024};
constexpr double kLocalTheta = 10000;
constexpr double kGlobalTheta = 1e6;
constexpr std::int64_t kLayersOf27B = 62;  // llama.cpp tells the 27B by it

const FamilyDefaults kDefaults = {.vocab_size = 262208,
                                  .head_count = 8,
                                  .kv_head_count = 4,
                                  .head_dim = 256,
                                  .context_length = 131072,
                                  .rope_theta = kGlobalTheta,
                                  .tied_embeddings = true,
                                  .activation_key = "hidden_activation",
                                  .activation = "gelu_pytorch_tanh"};

std::vector<std::string_view> classes() {
  return {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"};
}

std::vector<std::int64_t> periodic_windows(std::int64_t layers, std::int64_t period,
                                           std::int64_t window) {
  std::vector<std::int64_t> windows;
  for (std::int64_t i = 0; i < layers; ++i) windows.push_back((i + 1) % period == 0 ? 0 : window);
  return windows;
}

void set_constants(ModelConfig& config) {
  config.qk_norm = true;
  config.norm_plus_one = true;
  config.post_norms = true;
  config.activation = Activation::kGeluTanh;
  config.embedding_scale = static_cast<double>(std::sqrt(static_cast<float>(config.hidden_size)));
}

// rope_local_base_freq (transformers 4) or rope_parameters per kind of layer (transformers 5).
Result<void> read_ropes(const ConfigReader& reader, ModelConfig& config) {
  QUANTLANE_TRY(config.rope_theta_local,
                reader.number("rope_local_base_freq", 1, kLargestTheta, kLocalTheta));
  const auto ropes = reader.nested("rope_parameters");
  if (!ropes) return {};
  if (const auto full = ropes->nested("full_attention")) {
    QUANTLANE_TRY(const Rope rope, read_rope_parameters(*full, kGlobalTheta));
    config.rope_theta = rope.theta;
    config.rope_scaling = rope.scaling;
  }
  if (const auto sliding = ropes->nested("sliding_attention")) {
    QUANTLANE_TRY(const Rope rope, read_rope_parameters(*sliding, kLocalTheta));
    if (rope.scaling.kind != RopeScaling::Kind::kNone) {
      return fail(sliding->error(ErrorCode::kUnsupported, "rope_type", "default"));
    }
    config.rope_theta_local = rope.theta;
  }
  return {};
}

Result<void> read_windows(const ConfigReader& reader, ModelConfig& config) {
  QUANTLANE_TRY(const std::int64_t window, reader.integer("sliding_window", kWindowRange, 4096));
  QUANTLANE_TRY(auto windows, read_layer_types(reader, config.layer_count, window));
  if (windows) {
    config.window_of_layer = std::move(*windows);
    return {};
  }
  QUANTLANE_TRY(const std::int64_t period,
                reader.integer("sliding_window_pattern", kPeriodRange, kDefaultPeriod));
  config.window_of_layer = periodic_windows(config.layer_count, period, window);
  return {};
}

Result<ModelConfig> from_hugging_face(const Json& json, const std::string& origin) {
  // The multimodal class keeps the decoder's keys in "text_config".
  const ConfigReader outer(json, origin);
  const ConfigReader reader = outer.nested("text_config").value_or(outer);
  QUANTLANE_TRY(ModelConfig config, read_hugging_face(reader, "gemma3", kDefaults));
  set_constants(config);
  QUANTLANE_TRY_VOID(read_ropes(reader, config));
  QUANTLANE_TRY_VOID(read_windows(reader, config));
  QUANTLANE_TRY_VOID(refuse_flag(reader, "use_bidirectional_attention"));
  QUANTLANE_TRY(const double scalar, reader.number("query_pre_attn_scalar", 1e-6, 1e9, 256.0));
  config.attention_scale = 1 / std::sqrt(scalar);
  QUANTLANE_TRY(config.attention_bias, reader.boolean("attention_bias", false));
  config.attention_output_bias = config.attention_bias;
  QUANTLANE_TRY(config.final_logit_softcap, reader.number("final_logit_softcapping", 0, 1e6, 0.0));
  QUANTLANE_TRY(config.attention_logit_softcap,
                reader.number("attn_logit_softcapping", 0, 1e6, 0.0));
  return config;
}

// attention.sliding_window_pattern: a period, or one flag per layer.
Result<void> read_gguf_windows(const ConfigReader& reader, ModelConfig& config) {
  if (reader.find("attention.sliding_window") == nullptr) return {};
  QUANTLANE_TRY(const std::int64_t window,
                reader.integer("attention.sliding_window", {0, kWindowRange.max}));
  if (window == 0) return {};
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const Json* pattern = reader.find(kPattern);
  if (pattern == nullptr || !pattern->is_array()) {
    QUANTLANE_TRY(const std::int64_t period,
                  reader.integer(kPattern, kPeriodRange, kDefaultPeriod));
    config.window_of_layer = periodic_windows(config.layer_count, period, window);
    return {};
  }
  if (pattern->items().size() != static_cast<std::size_t>(config.layer_count)) {
    return fail(reader.error(ErrorCode::kCorrupt, kPattern, "one flag per layer"));
  }
  for (const Json& flag : pattern->items()) {
    config.window_of_layer.push_back(flag.boolean() || flag.integer() != 0 ? window : 0);
  }
  return {};
}

Result<ModelConfig> from_gguf(const Metadata& metadata, const std::string& origin) {
  QUANTLANE_TRY(ModelConfig config,
                read_gguf(metadata, "gemma3", "gemma3", origin, {.head_dim = 256}));
  set_constants(config);
  const Json object = metadata_object(metadata, "gemma3.");
  const ConfigReader reader(object, origin, "gemma3.");
  if (reader.find("rope.freq_base") == nullptr) config.rope_theta = kGlobalTheta;
  QUANTLANE_TRY(config.rope_theta_local,
                reader.number("rope.freq_base_swa", 1, kLargestTheta, kLocalTheta));
  QUANTLANE_TRY_VOID(read_gguf_windows(reader, config));
  const std::int64_t width =
      config.layer_count == kLayersOf27B ? config.hidden_size / config.head_count : config.head_dim;
  QUANTLANE_TRY(config.attention_scale, reader.number("attention.scale", 1e-9, 1e9,
                                                      1 / std::sqrt(static_cast<double>(width))));
  QUANTLANE_TRY(config.final_logit_softcap, reader.number("final_logit_softcapping", 0, 1e6, 0.0));
  return config;
}

void write_windows(const ModelConfig& config, Metadata& metadata) {
  const auto largest = std::ranges::max_element(config.window_of_layer);
  if (largest == config.window_of_layer.end() || *largest == 0) return;
  metadata.set("gemma3.attention.sliding_window", static_cast<std::uint32_t>(*largest));
  // The default period needs no key; anything else is spelled out layer by layer.
  if (config.window_of_layer == periodic_windows(config.layer_count, kDefaultPeriod, *largest)) {
    return;
  }
  std::vector<bool> flags;
  for (const std::int64_t window : config.window_of_layer) flags.push_back(window > 0);
  metadata.set("gemma3.attention.sliding_window_pattern", std::move(flags));
}

void to_gguf(const ModelConfig& config, Metadata& metadata) {
  write_gguf(config, "gemma3", metadata);
  metadata.set("gemma3.rope.freq_base_swa", static_cast<float>(config.rope_theta_local));
  write_windows(config, metadata);
  metadata.set("gemma3.attention.scale", static_cast<float>(config.attention_scale));
  if (config.final_logit_softcap > 0) {
    metadata.set("gemma3.final_logit_softcapping", static_cast<float>(config.final_logit_softcap));
  }
}

Json to_hugging_face(const ModelConfig& config) {
  Json json = write_hugging_face(config, "Gemma3ForCausalLM", "gemma3_text", kDefaults);
  json.set("attention_bias", config.attention_bias);
  // transformers insists on an integer; the scale was its root, perhaps rounded to float32.
  json.set("query_pre_attn_scalar",
           std::llround(1 / (config.attention_scale * config.attention_scale)));
  if (config.final_logit_softcap > 0) {
    json.set("final_logit_softcapping", config.final_logit_softcap);
  }
  Json ropes;
  ropes.set("full_attention", json["rope_parameters"]);
  ropes.set("sliding_attention",
            Json::object({{"rope_theta", config.rope_theta_local}, {"rope_type", "default"}}));
  json.set("rope_parameters", std::move(ropes));
  const auto largest = std::ranges::max_element(config.window_of_layer);
  if (largest != config.window_of_layer.end() && *largest > 0) {
    json.set("sliding_window", *largest);
  }
  write_layer_types(config, json);
  return json;
}

}  // namespace

const Architecture kGemma3 = {.name = "gemma3",
                              .gguf_name = "gemma3",
                              .classes = classes,
                              .from_hugging_face = from_hugging_face,
                              .from_gguf = from_gguf,
                              .to_gguf = to_gguf,
                              .to_hugging_face = to_hugging_face,
                              .permutes_qk = false,
                              .stores_norms_minus_one = true};

}  // namespace quantlane
