// The hyper-parameters of a decoder-only transformer, independent of the file they came from.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "containers/metadata.h"
#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

enum class Activation : std::uint8_t { kSilu, kGeluTanh };

struct RopeScaling {
  enum class Kind : std::uint8_t { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  std::int64_t original_context = 8192;
  bool operator==(const RopeScaling&) const = default;
};

// Feed-forwards of E experts each, of which a router picks a few for every token.
struct ExpertConfig {
  std::int64_t count = 0;  // E; 0 = all layers are dense
  std::int64_t per_token = 0;
  std::int64_t intermediate_size = 0;  // F of each
  bool normalised = true;              // weights of the picked ones are made to sum to 1
  std::vector<std::int64_t> dense_layers =
      {};  // ascending; they have one feed-forward for all tokens
  // Hugging Face's words: "<module>.gate" is the router, "<module>.experts.0.<gate>" a Linear.
  std::string module = "mlp";
  std::string gate = "gate_proj";
  std::string up = "up_proj";
  std::string down = "down_proj";
  bool operator==(const ExpertConfig&) const = default;
};

// Axis letters: D hidden, F intermediate, H heads, V vocabulary.
struct ModelConfig {
  std::string architecture;  // row name in architectures(): "llama"
  // What Hugging Face tensor names of the decoder begin with; multimodal classes have a longer one.
  std::string tensor_prefix = "model.";
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layer_count = 0;
  std::int64_t head_count = 0;
  std::int64_t kv_head_count = 0;
  std::int64_t head_dim = 0;
  std::int64_t context_length = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  // GGUF's rope_freqs.weight as stored [head_dim / 2]; empty = computed from rope_scaling.
  std::vector<float> rope_divisors;
  bool tied_embeddings = false;
  bool attention_bias = false;  // q, k, v have a bias
  bool attention_output_bias = false;
  bool qk_norm = false;        // RMS norm of each head of q and k before RoPE
  bool norm_plus_one = false;  // Hugging Face stores norm weights minus one (Gemma)
  bool post_norms = false;     // norms after attention and after the feed-forward (Gemma 3)
  double embedding_scale = 1;  // multiplies the embedding output (Gemma: sqrt(D))
  double attention_scale = 0;  // 0 = 1/sqrt(head_dim)
  double final_logit_softcap = 0;
  double attention_logit_softcap = 0;
  Activation activation = Activation::kSilu;
  ExpertConfig experts;
  // Sliding-window attention: per layer, 0 = full attention, else the window in tokens.
  std::vector<std::int64_t> window_of_layer;  // empty = all full
  double rope_theta_local = 0;                // used by windowed layers when > 0 (Gemma 3)

  [[nodiscard]] std::int64_t q_size() const { return head_count * head_dim; }
  [[nodiscard]] std::int64_t kv_size() const { return kv_head_count * head_dim; }
  [[nodiscard]] std::int64_t window(std::int64_t layer) const {
    return window_of_layer.empty() ? 0 : window_of_layer[static_cast<std::size_t>(layer)];
  }
  // Does a router pick experts in this layer?
  [[nodiscard]] bool is_sparse(std::int64_t layer) const {
    return experts.count > 0 && !std::ranges::binary_search(experts.dense_layers, layer);
  }
  bool operator==(const ModelConfig&) const = default;
};

}  // namespace quantlane
