// Where files keep the parameters of a model. Sources: llama.cpp gguf-py/gguf/constants.py and
// tensor_mapping.py; transformers 5 conversion_mapping.py for experts in one tensor.
#include <array>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "core/check.h"
#include "model/graph.h"

namespace quantlane {
namespace {

struct GgufName {
  Role role;
  std::string_view name;
};
constexpr std::array kNames = {
    GgufName{Role::kEmbedding, "token_embd.weight"},
    GgufName{Role::kRouter, "ffn_gate_inp.weight"},
    GgufName{Role::kQuery, "attn_q.weight"},
    GgufName{Role::kKey, "attn_k.weight"},
    GgufName{Role::kValue, "attn_v.weight"},
    GgufName{Role::kAttentionOutput, "attn_output.weight"},
    GgufName{Role::kGate, "ffn_gate.weight"},
    GgufName{Role::kUp, "ffn_up.weight"},
    GgufName{Role::kDown, "ffn_down.weight"},
    GgufName{Role::kHead, "output.weight"},
    GgufName{Role::kAttentionNorm, "attn_norm.weight"},
    GgufName{Role::kFeedForwardNorm, "ffn_norm.weight"},
    GgufName{Role::kQueryNorm, "attn_q_norm.weight"},
    GgufName{Role::kKeyNorm, "attn_k_norm.weight"},
    GgufName{Role::kPostAttentionNorm, "post_attention_norm.weight"},
    GgufName{Role::kPostFeedForwardNorm, "post_ffw_norm.weight"},
    GgufName{Role::kFinalNorm, "output_norm.weight"},
    GgufName{Role::kQueryBias, "attn_q.bias"},
    GgufName{Role::kKeyBias, "attn_k.bias"},
    GgufName{Role::kValueBias, "attn_v.bias"},
    GgufName{Role::kAttentionOutputBias, "attn_output.bias"},
};
// All experts of a layer in one tensor [E, N, K].
constexpr std::array kExpertNames = {
    GgufName{Role::kGate, "ffn_gate_exps.weight"},
    GgufName{Role::kUp, "ffn_up_exps.weight"},
    GgufName{Role::kDown, "ffn_down_exps.weight"},
};

}  // namespace

std::string gguf_name(Role role, std::int64_t layer, std::int64_t expert) {
  for (const GgufName& row : expert < 0 ? std::span<const GgufName>(kNames) : kExpertNames) {
    if (row.role != role) continue;
    return layer < 0 ? std::string(row.name) : fmt::format("blk.{}.{}", layer, row.name);
  }
  QUANTLANE_CHECK(false && "every role has a GGUF name");
  return {};
}

std::string gguf_name(const Parameter& parameter) {
  return gguf_name(parameter.role, parameter.layer, parameter.expert);
}

namespace {

// The tensor with all experts of a layer; `parts` of them share it, this one being `part`.
TensorPlace stacked(std::string name, const Parameter& p, const ModelConfig& config,
                    std::int64_t parts, std::int64_t part) {
  return {.name = std::move(name),
          .shape = {config.experts.count, parts * p.rows, p.cols},
          .first_row = (p.expert * parts + part) * p.rows};
}

std::vector<std::int64_t> shape_of(const Parameter& p) {
  return is_matrix(p.role) ? std::vector{p.rows, p.cols} : std::vector{p.cols};
}

}  // namespace

std::vector<TensorPlace> gguf_places(const Parameter& parameter, const ModelConfig& config) {
  if (parameter.expert < 0) return {{.name = gguf_name(parameter), .shape = shape_of(parameter)}};
  std::vector<TensorPlace> places = {stacked(gguf_name(parameter), parameter, config, 1, 0)};
  if (parameter.role != Role::kDown) {  // convert_hf_to_gguf --fuse-gate-up-exps
    places.push_back(stacked(fmt::format("blk.{}.ffn_gate_up_exps.weight", parameter.layer),
                             parameter, config, 2, parameter.role == Role::kUp ? 1 : 0));
  }
  return places;
}

std::vector<TensorPlace> hugging_face_places(const Parameter& parameter,
                                             const ModelConfig& config) {
  std::vector<TensorPlace> places = {{.name = parameter.name, .shape = shape_of(parameter)}};
  if (parameter.expert < 0 && parameter.role != Role::kRouter) return places;
  // What transformers 5 has in memory, and writes where it is told not to write the older names.
  const std::string at = fmt::format("{}layers.{}.mlp.", config.tensor_prefix, parameter.layer);
  if (parameter.role == Role::kRouter) {
    places.push_back({.name = at + "gate.weight", .shape = shape_of(parameter)});
  } else if (parameter.role == Role::kDown) {
    places.push_back(stacked(at + "experts.down_proj", parameter, config, 1, 0));
  } else {
    places.push_back(stacked(at + "experts.gate_up_proj", parameter, config, 2,
                             parameter.role == Role::kUp ? 1 : 0));
  }
  return places;
}

std::vector<GgufTensor> gguf_tensors(const Graph& graph) {
  std::vector<GgufTensor> tensors;
  std::map<std::string, std::size_t> index;
  for (const Parameter& p : graph.parameters) {
    TensorPlace place = gguf_places(p, graph.config).front();
    const auto [at, is_new] = index.try_emplace(place.name, tensors.size());
    if (is_new) {
      tensors.push_back(
          {.name = std::move(place.name), .shape = std::move(place.shape), .parameters = {}});
    }
    tensors[at->second].parameters.push_back(&p);
  }
  return tensors;
}

std::int64_t permuted_qk_row(std::int64_t row, std::int64_t head_dim) {
  // Halves (i, i + head_dim/2) become neighbours (2i, 2i + 1) within each head.
  const std::int64_t half = head_dim / 2;
  const std::int64_t within = row % head_dim;
  return row - within + within % half * 2 + within / half;
}

}  // namespace quantlane
