// Qwen 3 (dense): RMS norms on every head of q and k, explicit head size.
// Source: transformers models/qwen3/configuration_qwen3.py and modeling_qwen3.py.
#include "core/check.h"
#include "model/arch/common.h"
#include "model/arch/rows.h"

namespace quantlane {
namespace {

const FamilyDefaults kDefaults = {.vocab_size = {},
                                  .head_count = {},
                                  .kv_head_count = {},
                                  .head_dim = 128,
                                  .context_length = 32768};

std::vector<std::string_view> classes() { return {"Qwen3ForCausalLM"}; }

Result<ModelConfig> from_hugging_face(const Json& json, const std::string& origin) {
  const ConfigReader reader(json, origin);
  QUANTLANE_TRY(ModelConfig config, read_hugging_face(reader, "qwen3", kDefaults));
  config.qk_norm = true;
  QUANTLANE_TRY(config.attention_bias, reader.boolean("attention_bias", false));
  config.attention_output_bias = config.attention_bias;
  QUANTLANE_TRY_VOID(read_qwen_windows(reader, config));
  return config;
}

Result<ModelConfig> from_gguf(const Metadata& metadata, const std::string& origin) {
  QUANTLANE_TRY(ModelConfig config, read_gguf(metadata, "qwen3", "qwen3", origin));
  config.qk_norm = true;
  return config;
}

void to_gguf(const ModelConfig& config, Metadata& metadata) {
  write_gguf(config, "qwen3", metadata);
}

Json to_hugging_face(const ModelConfig& config) {
  Json json = write_hugging_face(config, "Qwen3ForCausalLM", "qwen3", kDefaults);
  json.set("attention_bias", config.attention_bias);
  write_qwen_windows(config, json);
  return json;
}

}  // namespace

const Architecture kQwen3 = {.name = "qwen3",
                             .gguf_name = "qwen3",
                             .classes = classes,
                             .from_hugging_face = from_hugging_face,
                             .from_gguf = from_gguf,
                             .to_gguf = to_gguf,
                             .to_hugging_face = to_hugging_face,
                             .permutes_qk = false,
                             .stores_norms_minus_one = false};

}  // namespace quantlane
