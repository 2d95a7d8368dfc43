// The parameters that an architecture has, by name and role: what the runtime binds, what recipes
// assign formats to, what calibration observes. Names are Hugging Face's; names.cpp maps to GGUF.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace quantlane {

enum class Role : std::uint8_t {
  kEmbedding,
  kRouter,  // scores of the experts [E, D]; kept as it is by every lane
  kQuery,
  kKey,
  kValue,
  kAttentionOutput,
  kGate,
  kUp,
  kDown,
  kHead,  // matrices
  kAttentionNorm,
  kFeedForwardNorm,
  kQueryNorm,
  kKeyNorm,
  kPostAttentionNorm,
  kPostFeedForwardNorm,
  kFinalNorm,
  kQueryBias,
  kKeyBias,
  kValueBias,
  kAttentionOutputBias,  // vectors
};
[[nodiscard]] constexpr bool is_matrix(Role role) { return role <= Role::kHead; }
[[nodiscard]] constexpr bool is_norm(Role role) {
  return role >= Role::kAttentionNorm && role <= Role::kFinalNorm;
}
[[nodiscard]] constexpr bool is_linear(Role role) {
  return role >= Role::kQuery && role <= Role::kHead;
}
// The Linears that lanes of folders quantize.
[[nodiscard]] constexpr bool is_block_linear(Role role) {
  return is_linear(role) && role != Role::kHead;
}

struct Parameter {
  Role role;
  std::int64_t layer;        // -1 outside the blocks
  std::string name;          // tensor: "model.layers.0.self_attn.q_proj.weight"
  std::int64_t rows;         // N (1 for vectors)
  std::int64_t cols;         // K
  std::int64_t expert = -1;  // whose gate, up or down it is; -1 = every token's
  // For matrices: the module name (tensor name without ".weight").
  [[nodiscard]] std::string_view module() const;
};

struct Graph {
  ModelConfig config;
  std::vector<Parameter> parameters;  // execution order; head absent when tied
  [[nodiscard]] const Parameter* find(Role role, std::int64_t layer,
                                      std::int64_t expert = -1) const;
};

// An architecture row: one file of src/model/arch each.
struct Architecture {
  std::string_view name;                       // "llama"
  std::string_view gguf_name;                  // general.architecture
  std::vector<std::string_view> (*classes)();  // "LlamaForCausalLM", …
  // Typed reads with clear errors; both spellings of transformers 4 and 5.
  Result<ModelConfig> (*from_hugging_face)(const Json& config, const std::string& origin);
  Result<ModelConfig> (*from_gguf)(const Metadata& metadata, const std::string& origin);
  // Adds the architecture's keys ("llama.block_count", …) to GGUF metadata.
  void (*to_gguf)(const ModelConfig& config, Metadata& metadata);
  // config.json (transformers 5 spelling, without dtype) that from_hugging_face reads back the
  // same.
  Json (*to_hugging_face)(const ModelConfig& config);
  // GGUF stores the rows of q and k permuted (rotate-neighbours RoPE) for this architecture.
  bool permutes_qk;
  // Hugging Face stores norm weights minus one, GGUF stores them whole (Gemma).
  bool stores_norms_minus_one;
  // Where another row has the same gguf_name: do these keys mean this one?
  bool (*means_gguf)(const Metadata& metadata) = nullptr;
  // What llama.cpp would get wrong of such a model; empty where nothing.
  std::string (*gguf_caveat)(const ModelConfig& config) = nullptr;
};

std::vector<const Architecture*> architectures();
// By config.json's architectures[0], or by GGUF's general.architecture; nullptr when unknown.
const Architecture* architecture_by_class(std::string_view class_name);
const Architecture* architecture_of_gguf(const Metadata& metadata);
const Architecture* architecture_by_name(std::string_view name);
// "llama, mistral, …" for messages.
std::string supported_architectures();

// Parameters of the decoder that `config` describes; Hugging Face names.
Graph build_graph(const ModelConfig& config);

// "blk.0.attn_q.weight" for Role::kQuery of layer 0, and so on; experts of a layer share
// "blk.0.ffn_gate_exps.weight".
std::string gguf_name(Role role, std::int64_t layer, std::int64_t expert = -1);
std::string gguf_name(const Parameter& parameter);

// Where a parameter lies in a file: rows [first_row, first_row + rows) of the matrix view of a
// tensor, which may hold those of others (all experts of a layer) too.
struct TensorPlace {
  std::string name;
  std::vector<std::int64_t> shape;  // of the whole tensor
  std::int64_t first_row = 0;
};
// All places that writers put it in, the usual one first.
std::vector<TensorPlace> gguf_places(const Parameter& parameter, const ModelConfig& config);
std::vector<TensorPlace> hugging_face_places(const Parameter& parameter, const ModelConfig& config);

// A tensor of a GGUF file and the parameters that it holds, in the order of their rows.
struct GgufTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<const Parameter*> parameters;
};
// Of the whole model, in execution order; points into `graph`.
std::vector<GgufTensor> gguf_tensors(const Graph& graph);

// Divisors of the rotary frequencies [head_dim / 2] that Llama 3 scaling amounts to (GGUF's
// rope_freqs.weight): config.rope_divisors, else computed; empty for other scalings.
std::vector<float> rope_frequency_divisors(const ModelConfig& config);
// Llama 3 scaling that amounts to config.rope_divisors (not empty) to float rounding; nullopt where
// none does. Of factors and contexts that give the same, round ones.
std::optional<RopeScaling> llama3_scaling_of_divisors(const ModelConfig& config);
// Row of the stored (permuted) matrix that holds logical row `row`; `heads` heads of `head_dim`
// rows.
[[nodiscard]] std::int64_t permuted_qk_row(std::int64_t row, std::int64_t head_dim);

}  // namespace quantlane
