#include "recommend/preflight_kv_parts.h"

#include <algorithm>

namespace quantlane::preflight_parts {

std::int64_t head_dim_of(const Facts& f) {
  if (const std::int64_t own = f.model_key("head_dim").integer(0); own > 0) return own;
  const std::int64_t heads = f.model_key("num_attention_heads").integer(0);
  const std::int64_t width = f.model_key("hidden_size").integer(0);
  return heads > 0 && width % heads == 0 ? width / heads : 0;
}

std::int64_t kv_heads_of(const Facts& f) {
  return f.model_key("num_key_value_heads").integer(f.model_key("num_attention_heads").integer(1));
}

bool mixes_windows(const Facts& f) {
  const auto& layers = f.model_key("layer_types").items();
  const auto slides = [](const Json& type) { return type.string() == "sliding_attention"; };
  if (!layers.empty()) {
    return std::ranges::any_of(layers, slides) && !std::ranges::all_of(layers, slides);
  }
  // Gemma 2 and 3 before transformers wrote layer_types.
  return f.model_key("sliding_window").integer(0) > 0 &&
         f.model_key("model_type").string().starts_with("gemma");
}

bool kv_taken(const Facts& f, const Target& t) {
  if (!is_ct(f)) {
    return has_kv(f) || f.dialect == "quark" ||
           f.quantization["kv_cache_quant_algo"].string() == "FP8";
  }
  if (t.is(Engine::kVllm) && is_latent(f)) return false;
  if (t.is(Engine::kSglang)) {
    return kv_is_fp8(f) && kv_scheme(f)["strategy"].string() == "tensor" && !kv_dynamic(f) &&
           kv_scheme(f)["symmetric"].boolean(true);
  }
  return kv_is_fp8(f);
}

bool kv_scales_taken(const Facts& f, const Target& t) {
  if (!kv_taken(f, t)) return false;
  if (!t.is(Engine::kSglang) || !is_latent(f)) return true;
  // SGLang finds those of latent attention below k_proj and v_proj only.
  return std::ranges::none_of(f.attentions, [](const AttentionFacts& attention) {
    return attention.key.tensor.ends_with(".self_attn.k_scale") ||
           attention.value.tensor.ends_with(".self_attn.v_scale");
  });
}

}  // namespace quantlane::preflight_parts
