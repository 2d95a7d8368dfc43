#include "model/graph.h"

#include <fmt/format.h>

namespace quantlane {
namespace {

class Builder {
 public:
  explicit Builder(const ModelConfig& config) : config_(config) { graph_.config = config; }

  Graph build() && {
    const std::string& prefix = config_.tensor_prefix;
    matrix(Role::kEmbedding, -1, prefix + "embed_tokens", config_.vocab_size, config_.hidden_size);
    for (std::int64_t i = 0; i < config_.layer_count; ++i) block(i);
    vector(Role::kFinalNorm, -1, prefix + "norm.weight", config_.hidden_size);
    if (!config_.tied_embeddings) {
      matrix(Role::kHead, -1, "lm_head", config_.vocab_size, config_.hidden_size);
    }
    return std::move(graph_);
  }

 private:
  void matrix(Role role, std::int64_t layer, const std::string& module, std::int64_t rows,
              std::int64_t cols) {
    graph_.parameters.push_back({role, layer, module + ".weight", rows, cols});
  }
  void vector(Role role, std::int64_t layer, const std::string& name, std::int64_t size) {
    graph_.parameters.push_back({role, layer, name, 1, size});
  }

  void block(std::int64_t i) {
    const ModelConfig& c = config_;
    const std::string at = fmt::format("{}layers.{}.", c.tensor_prefix, i);
    vector(Role::kAttentionNorm, i, at + "input_layernorm.weight", c.hidden_size);
    attention(i, at + "self_attn.");
    if (c.post_norms) {
      vector(Role::kPostAttentionNorm, i, at + "post_attention_layernorm.weight", c.hidden_size);
      vector(Role::kFeedForwardNorm, i, at + "pre_feedforward_layernorm.weight", c.hidden_size);
    } else {
      vector(Role::kFeedForwardNorm, i, at + "post_attention_layernorm.weight", c.hidden_size);
    }
    matrix(Role::kGate, i, at + "mlp.gate_proj", c.intermediate_size, c.hidden_size);
    matrix(Role::kUp, i, at + "mlp.up_proj", c.intermediate_size, c.hidden_size);
    matrix(Role::kDown, i, at + "mlp.down_proj", c.hidden_size, c.intermediate_size);
    if (c.post_norms) {
      vector(Role::kPostFeedForwardNorm, i, at + "post_feedforward_layernorm.weight",
             c.hidden_size);
    }
  }

  void attention(std::int64_t i, const std::string& at) {
    const ModelConfig& c = config_;
    matrix(Role::kQuery, i, at + "q_proj", c.q_size(), c.hidden_size);
    matrix(Role::kKey, i, at + "k_proj", c.kv_size(), c.hidden_size);
    matrix(Role::kValue, i, at + "v_proj", c.kv_size(), c.hidden_size);
    if (c.attention_bias) {
      vector(Role::kQueryBias, i, at + "q_proj.bias", c.q_size());
      vector(Role::kKeyBias, i, at + "k_proj.bias", c.kv_size());
      vector(Role::kValueBias, i, at + "v_proj.bias", c.kv_size());
    }
    if (c.qk_norm) {
      vector(Role::kQueryNorm, i, at + "q_norm.weight", c.head_dim);
      vector(Role::kKeyNorm, i, at + "k_norm.weight", c.head_dim);
    }
    matrix(Role::kAttentionOutput, i, at + "o_proj", c.hidden_size, c.q_size());
    if (c.attention_output_bias) {
      vector(Role::kAttentionOutputBias, i, at + "o_proj.bias", c.hidden_size);
    }
  }

  const ModelConfig& config_;
  Graph graph_;
};

}  // namespace

std::string_view Parameter::module() const {
  std::string_view module = name;
  constexpr std::string_view kSuffix = ".weight";
  if (module.ends_with(kSuffix)) module.remove_suffix(kSuffix.size());
  return module;
}

const Parameter* Graph::find(Role role, std::int64_t layer) const {
  for (const Parameter& parameter : parameters) {
    if (parameter.role == role && parameter.layer == layer) return &parameter;
  }
  return nullptr;
}

Graph build_graph(const ModelConfig& config) { return Builder(config).build(); }

}  // namespace quantlane
