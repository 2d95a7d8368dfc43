#include "model/graph.h"

#include <algorithm>
#include <iterator>

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
              std::int64_t cols, std::int64_t expert = -1) {
    graph_.parameters.push_back({role, layer, module + ".weight", rows, cols, expert});
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
    if (c.is_sparse(i)) {
      experts(i, at + c.experts.module + ".");
    } else {
      matrix(Role::kGate, i, at + "mlp.gate_proj", c.intermediate_size, c.hidden_size);
      matrix(Role::kUp, i, at + "mlp.up_proj", c.intermediate_size, c.hidden_size);
      matrix(Role::kDown, i, at + "mlp.down_proj", c.hidden_size, c.intermediate_size);
    }
    if (c.post_norms) {
      vector(Role::kPostFeedForwardNorm, i, at + "post_feedforward_layernorm.weight",
             c.hidden_size);
    }
  }

  void experts(std::int64_t i, const std::string& at) {
    const ExpertConfig& x = config_.experts;
    const std::int64_t width = config_.hidden_size;
    matrix(Role::kRouter, i, at + "gate", x.count, width);
    for (std::int64_t e = 0; e < x.count; ++e) {
      const std::string expert = fmt::format("{}experts.{}.", at, e);
      matrix(Role::kGate, i, expert + x.gate, x.intermediate_size, width, e);
      matrix(Role::kUp, i, expert + x.up, x.intermediate_size, width, e);
      matrix(Role::kDown, i, expert + x.down, width, x.intermediate_size, e);
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

// Parameters of a layer lie together, the layers in order, those outside around them; with
// hundreds of experts per layer it matters not to look at all.
const Parameter* Graph::find(Role role, std::int64_t layer, std::int64_t expert) const {
  auto first = parameters.begin();
  auto last = parameters.end();
  if (layer >= 0) {
    while (first != last && first->layer < 0) ++first;
    while (first != last && std::prev(last)->layer < 0) --last;
    first = std::partition_point(first, last, [&](const Parameter& p) { return p.layer < layer; });
  }
  for (; first != last; ++first) {
    if (layer >= 0 && first->layer != layer) break;
    if (first->role == role && first->layer == layer && first->expert == expert) return &*first;
  }
  return nullptr;
}

Graph build_graph(const ModelConfig& config) { return Builder(config).build(); }

}  // namespace quantlane
