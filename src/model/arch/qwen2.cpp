// Qwen 2 and 2.5 (dense): Llama with biases on q, k and v.
// Source: transformers models/qwen2/configuration_qwen2.py and modeling_qwen2.py.
#include "core/check.h"
#include "model/arch/common.h"
#include "model/arch/rows.h"

namespace quantlane {
namespace {

const FamilyDefaults kDefaults = {.vocab_size = {},
                                  .head_count = {},
                                  .kv_head_count = {},
                                  .head_dim = {},
                                  .context_length = 32768};

std::vector<std::string_view> classes() { return {"Qwen2ForCausalLM"}; }

Result<ModelConfig> from_hugging_face(const Json& json, const std::string& origin) {
  const ConfigReader reader(json, origin);
  QUANTLANE_TRY(ModelConfig config, read_hugging_face(reader, "qwen2", kDefaults));
  config.attention_bias = true;
  QUANTLANE_TRY_VOID(read_qwen_windows(reader, config));
  return config;
}

Result<ModelConfig> from_gguf(const Metadata& metadata, const std::string& origin) {
  QUANTLANE_TRY(ModelConfig config, read_gguf(metadata, "qwen2", "qwen2", origin));
  config.attention_bias = true;
  return config;
}

void to_gguf(const ModelConfig& config, Metadata& metadata) {
  write_gguf(config, "qwen2", metadata);
}

Json to_hugging_face(const ModelConfig& config) {
  Json json = write_hugging_face(config, "Qwen2ForCausalLM", "qwen2", kDefaults);
  write_qwen_windows(config, json);
  return json;
}

}  // namespace

const Architecture kQwen2 = {.name = "qwen2",
                             .gguf_name = "qwen2",
                             .classes = classes,
                             .from_hugging_face = from_hugging_face,
                             .from_gguf = from_gguf,
                             .to_gguf = to_gguf,
                             .to_hugging_face = to_hugging_face,
                             .permutes_qk = false,
                             .stores_norms_minus_one = false};

}  // namespace quantlane
