// What rules about the key-value cache share.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "recommend/preflight_rules.h"

namespace quantlane::preflight_parts {

inline const Json& kv_scheme(const Facts& f) { return f.quantization["kv_cache_scheme"]; }
inline bool has_kv(const Facts& f) { return kv_scheme(f).is_object(); }
inline bool kv_is_int(const Facts& f) { return kv_scheme(f)["type"].string("int") == "int"; }
inline std::int64_t kv_bits(const Facts& f) { return kv_scheme(f)["num_bits"].integer(8); }
inline bool kv_is_fp8(const Facts& f) { return has_kv(f) && !kv_is_int(f) && kv_bits(f) == 8; }
inline bool kv_per_head(const Facts& f) { return kv_scheme(f)["strategy"].string() == "attn_head"; }
// true, or a word ("local").
inline bool kv_dynamic(const Facts& f) {
  const Json& dynamic = kv_scheme(f)["dynamic"];
  return dynamic.boolean() || !dynamic.string().empty();
}
inline std::string kv_text(const Facts& f) { return "kv_cache_scheme " + kv_scheme(f).dump(); }

// Does the engine round the cache by what the configuration says?
bool kv_taken(const Facts& f, const Target& t);
// … under the scales that are stored? Not where those have no place.
bool kv_scales_taken(const Facts& f, const Target& t);

// Latent attention (DeepSeek V2 and later): one row of kv_lora_rank and rotated columns per token.
inline bool is_latent(const Facts& f) { return f.model_key("kv_lora_rank").integer(0) > 0; }
// Of keys, and of values but in latent attention; 0 = not known.
std::int64_t head_dim_of(const Facts& f);
// How many heads keys and values have.
std::int64_t kv_heads_of(const Facts& f);
// Layers with a sliding window beside others without.
bool mixes_windows(const Facts& f);

}  // namespace quantlane::preflight_parts
