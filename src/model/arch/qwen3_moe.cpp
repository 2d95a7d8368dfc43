// Qwen 3 with experts: Qwen 3's attention, and in most layers small experts of which a router picks
// several. Source: transformers models/qwen3_moe/configuration_qwen3_moe.py and
// modeling_qwen3_moe.py; llama.cpp src/models/qwen3moe.cpp.
#include <algorithm>

#include "core/check.h"
#include "model/arch/bounds.h"
#include "model/arch/common.h"
#include "model/arch/rows.h"

namespace quantlane {
namespace {

const FamilyDefaults kDefaults = {.vocab_size = {},
                                  .head_count = {},
                                  .kv_head_count = {},
                                  .head_dim = {},
                                  .context_length = 32768};

std::vector<std::string_view> classes() { return {"Qwen3MoeForCausalLM"}; }

// Layers with one feed-forward: those that the file lists, and all but every step-th.
Result<std::vector<std::int64_t>> read_dense_layers(const ConfigReader& reader,
                                                    std::int64_t layers) {
  QUANTLANE_TRY(const std::int64_t step,
                reader.integer("decoder_sparse_step", {1, kLayers.max}, 1));
  std::vector<bool> dense(static_cast<std::size_t>(layers), false);
  for (std::int64_t i = 0; i < layers; ++i) {
    dense[static_cast<std::size_t>(i)] = (i + 1) % step != 0;
  }
  if (const Json* listed = reader.find("mlp_only_layers")) {
    const auto is_layer = [&](const Json& item) {
      return item.is_integer() && item.integer() >= 0 && item.integer() < layers;
    };
    if (!listed->is_array() || !std::ranges::all_of(listed->items(), is_layer)) {
      return fail(reader.error(ErrorCode::kCorrupt, "mlp_only_layers", "a list of layers"));
    }
    for (const Json& item : listed->items()) dense[static_cast<std::size_t>(item.integer())] = true;
  }
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < layers; ++i) {
    if (dense[static_cast<std::size_t>(i)]) result.push_back(i);
  }
  return result;
}

Result<ModelConfig> from_hugging_face(const Json& json, const std::string& origin) {
  const ConfigReader reader(json, origin);
  QUANTLANE_TRY(ModelConfig config, read_hugging_face(reader, "qwen3_moe", kDefaults));
  config.qk_norm = true;
  QUANTLANE_TRY(config.attention_bias, reader.boolean("attention_bias", false));
  config.attention_output_bias = config.attention_bias;
  QUANTLANE_TRY_VOID(read_qwen_windows(reader, config));
  ExpertConfig& experts = config.experts;
  const bool renamed = reader.find("num_experts") == nullptr;
  QUANTLANE_TRY(experts.count,
                reader.integer(renamed ? "num_local_experts" : "num_experts", kExperts, 128));
  QUANTLANE_TRY(experts.per_token, reader.integer("num_experts_per_tok", {1, experts.count}, 8));
  QUANTLANE_TRY(experts.intermediate_size,
                reader.integer("moe_intermediate_size", kIntermediate, 768));
  QUANTLANE_TRY(experts.normalised, reader.boolean("norm_topk_prob", false));
  QUANTLANE_TRY(experts.dense_layers, read_dense_layers(reader, config.layer_count));
  QUANTLANE_TRY_VOID(check_sizes(config, origin));
  return config;
}

Result<ModelConfig> from_gguf(const Metadata& metadata, const std::string& origin) {
  QUANTLANE_TRY(ModelConfig config,
                read_gguf(metadata, "qwen3moe", "qwen3_moe", origin, {.experts = true}));
  config.qk_norm = true;
  return config;
}

void to_gguf(const ModelConfig& config, Metadata& metadata) {
  write_gguf(config, "qwen3moe", metadata);
}

std::string gguf_caveat(const ModelConfig& config) {
  if (!config.experts.dense_layers.empty()) {
    return "llama.cpp does not load this model: its qwen3moe wants experts in every layer";
  }
  if (!config.experts.normalised) {
    return "llama.cpp makes the weights of each token's experts sum to 1, which this model does "
           "not: its answers will differ there";
  }
  return {};
}

Json to_hugging_face(const ModelConfig& config) {
  const ExpertConfig& experts = config.experts;
  Json json = write_hugging_face(config, "Qwen3MoeForCausalLM", "qwen3_moe", kDefaults);
  json.set("attention_bias", config.attention_bias);
  write_qwen_windows(config, json);
  json.set("num_experts", experts.count);
  json.set("num_experts_per_tok", experts.per_token);
  json.set("moe_intermediate_size", experts.intermediate_size);
  json.set("norm_topk_prob", experts.normalised);
  json.set("decoder_sparse_step", 1);
  Json dense = Json::array();
  for (const std::int64_t layer : experts.dense_layers) dense.push(layer);
  json.set("mlp_only_layers", std::move(dense));
  return json;
}

}  // namespace

const Architecture kQwen3Moe = {.name = "qwen3_moe",
                                .gguf_name = "qwen3moe",
                                .classes = classes,
                                .from_hugging_face = from_hugging_face,
                                .from_gguf = from_gguf,
                                .to_gguf = to_gguf,
                                .to_hugging_face = to_hugging_face,
                                .permutes_qk = false,
                                .stores_norms_minus_one = false,
                                .gguf_caveat = gguf_caveat};

}  // namespace quantlane
