// Llama 2, Llama 3.x (with its RoPE scaling), SmolLM2 and the many others of that class.
// Source: transformers models/llama/configuration_llama.py; llama.cpp convert_hf_to_gguf.py.
#include "core/check.h"
#include "model/arch/common.h"
#include "model/arch/rows.h"

namespace quantlane {
namespace {

const FamilyDefaults kDefaults = {
    .vocab_size = {}, .head_count = {}, .kv_head_count = {}, .head_dim = {}};

std::vector<std::string_view> classes() { return {"LlamaForCausalLM"}; }

Result<ModelConfig> from_hugging_face(const Json& json, const std::string& origin) {
  const ConfigReader reader(json, origin);
  QUANTLANE_TRY(ModelConfig config, read_hugging_face(reader, "llama", kDefaults));
  QUANTLANE_TRY(config.attention_bias, reader.boolean("attention_bias", false));
  config.attention_output_bias = config.attention_bias;
  QUANTLANE_TRY_VOID(refuse_flag(reader, "mlp_bias"));
  return config;
}

Result<ModelConfig> from_gguf(const Metadata& metadata, const std::string& origin) {
  return read_gguf(metadata, "llama", "llama", origin);
}

void to_gguf(const ModelConfig& config, Metadata& metadata) {
  write_gguf(config, "llama", metadata);
}

Json to_hugging_face(const ModelConfig& config) {
  Json json = write_hugging_face(config, "LlamaForCausalLM", "llama", kDefaults);
  json.set("attention_bias", config.attention_bias);
  return json;
}

}  // namespace

const Architecture kLlama = {.name = "llama",
                             .gguf_name = "llama",
                             .classes = classes,
                             .from_hugging_face = from_hugging_face,
                             .from_gguf = from_gguf,
                             .to_gguf = to_gguf,
                             .to_hugging_face = to_hugging_face,
                             .permutes_qk = true,
                             .stores_norms_minus_one = false};

}  // namespace quantlane
