// Mistral 7B and its descendants: Llama with a sliding window in the first version.
// Source: transformers models/mistral/configuration_mistral.py. GGUF calls the family "llama" and
// has no key for the window: llama.cpp attends to everything, and so does a file read back.
#include "core/check.h"
#include "model/arch/common.h"
#include "model/arch/rows.h"

namespace quantlane {
namespace {

const FamilyDefaults kDefaults = {.vocab_size = {},
                                  .head_count = {},
                                  .kv_head_count = 8,
                                  .head_dim = {},
                                  .context_length = 131072};

std::vector<std::string_view> classes() { return {"MistralForCausalLM"}; }

Result<ModelConfig> from_hugging_face(const Json& json, const std::string& origin) {
  const ConfigReader reader(json, origin);
  QUANTLANE_TRY(ModelConfig config, read_hugging_face(reader, "mistral", kDefaults));
  if (reader.find("sliding_window") != nullptr) {
    QUANTLANE_TRY(const std::int64_t window, reader.integer("sliding_window", kWindowRange));
    config.window_of_layer.assign(static_cast<std::size_t>(config.layer_count), window);
  } else if (!json.contains("sliding_window")) {
    // transformers: an absent key means 4096, an explicit null means full attention.
    config.window_of_layer.assign(static_cast<std::size_t>(config.layer_count), 4096);
  }
  return config;
}

Result<ModelConfig> from_gguf(const Metadata& metadata, const std::string& origin) {
  return read_gguf(metadata, "llama", "mistral", origin);
}

void to_gguf(const ModelConfig& config, Metadata& metadata) {
  write_gguf(config, "llama", metadata);
}

Json to_hugging_face(const ModelConfig& config) {
  Json json = write_hugging_face(config, "MistralForCausalLM", "mistral", kDefaults);
  json.set("sliding_window", config.window_of_layer.empty() ? Json() : Json(config.window(0)));
  return json;
}

}  // namespace

const Architecture kMistral = {.name = "mistral",
                               .gguf_name = "llama",
                               .classes = classes,
                               .from_hugging_face = from_hugging_face,
                               .from_gguf = from_gguf,
                               .to_gguf = to_gguf,
                               .to_hugging_face = to_hugging_face,
                               .permutes_qk = true,
                               .stores_norms_minus_one = false};

}  // namespace quantlane
