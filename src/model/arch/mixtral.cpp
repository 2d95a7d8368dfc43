// Mixtral: Mistral's attention, and in every layer experts of which a router picks two.
// Source: transformers models/mixtral/configuration_mixtral.py and modeling_mixtral.py; llama.cpp
// src/models/llama.cpp (the file says "llama", with experts).
#include "core/check.h"
#include "model/arch/bounds.h"
#include "model/arch/common.h"
#include "model/arch/rows.h"

namespace quantlane {
namespace {

const FamilyDefaults kDefaults = {.vocab_size = 32000,
                                  .head_count = 32,
                                  .kv_head_count = 8,
                                  .head_dim = {},
                                  .context_length = 131072,
                                  .rms_norm_eps = 1e-5,
                                  .rope_theta = 1e6};

std::vector<std::string_view> classes() { return {"MixtralForCausalLM"}; }

void set_names(ExpertConfig& experts) {
  experts.module = "block_sparse_moe";
  experts.gate = "w1";
  experts.up = "w3";
  experts.down = "w2";
}

Result<ModelConfig> from_hugging_face(const Json& json, const std::string& origin) {
  const ConfigReader reader(json, origin);
  QUANTLANE_TRY(ModelConfig config, read_hugging_face(reader, "mixtral", kDefaults));
  if (reader.find("sliding_window") != nullptr) {
    QUANTLANE_TRY(const std::int64_t window, reader.integer("sliding_window", kWindowRange));
    config.window_of_layer.assign(static_cast<std::size_t>(config.layer_count), window);
  }
  ExpertConfig& experts = config.experts;
  const bool renamed = reader.find("num_local_experts") == nullptr;
  QUANTLANE_TRY(experts.count,
                reader.integer(renamed ? "num_experts" : "num_local_experts", kExperts, 8));
  QUANTLANE_TRY(experts.per_token, reader.integer("num_experts_per_tok", {1, experts.count}, 2));
  experts.intermediate_size = config.intermediate_size;
  set_names(experts);
  QUANTLANE_TRY_VOID(check_sizes(config, origin));
  return config;
}

bool means_gguf(const Metadata& metadata) {
  return metadata.integer("llama.expert_count").value_or(0) > 0;
}

Result<ModelConfig> from_gguf(const Metadata& metadata, const std::string& origin) {
  QUANTLANE_TRY(ModelConfig config,
                read_gguf(metadata, "llama", "mixtral", origin, {.experts = true}));
  set_names(config.experts);
  return config;
}

void to_gguf(const ModelConfig& config, Metadata& metadata) {
  write_gguf(config, "llama", metadata);
  metadata.erase("llama.expert_feed_forward_length");  // feed_forward_length says it
}

Json to_hugging_face(const ModelConfig& config) {
  Json json = write_hugging_face(config, "MixtralForCausalLM", "mixtral", kDefaults);
  json.set("num_local_experts", config.experts.count);
  json.set("num_experts_per_tok", config.experts.per_token);
  const std::int64_t window = config.window(0);
  json.set("sliding_window", window > 0 ? Json(window) : Json());
  return json;
}

}  // namespace

const Architecture kMixtral = {.name = "mixtral",
                               .gguf_name = "llama",
                               .classes = classes,
                               .from_hugging_face = from_hugging_face,
                               .from_gguf = from_gguf,
                               .to_gguf = to_gguf,
                               .to_hugging_face = to_hugging_face,
                               .permutes_qk = true,
                               .stores_norms_minus_one = false,
                               .means_gguf = means_gguf};

}  // namespace quantlane
