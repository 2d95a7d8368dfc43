// Hugging Face roles in GGUF's spelling. Source: llama.cpp gguf-py/gguf/constants.py and
// tensor_mapping.py.
#include <array>

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

}  // namespace

std::string gguf_name(Role role, std::int64_t layer, const ModelConfig& /*config*/) {
  for (const GgufName& row : kNames) {
    if (row.role != role) continue;
    return layer < 0 ? std::string(row.name) : fmt::format("blk.{}.{}", layer, row.name);
  }
  QUANTLANE_CHECK(false && "every role has a GGUF name");
  return {};
}

std::int64_t permuted_qk_row(std::int64_t row, std::int64_t head_dim) {
  // Halves (i, i + head_dim/2) become neighbours (2i, 2i + 1) within each head.
  const std::int64_t half = head_dim / 2;
  const std::int64_t within = row % head_dim;
  return row - within + within % half * 2 + within / half;
}

}  // namespace quantlane
