// Pre-flight: the key-value cache that a checkpoint announces, and its scales.
#include <array>
#include <cmath>

#include "recommend/preflight_kv_parts.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

template <class Breaks>
Found first_scale(const Facts& f, const Breaks& breaks) {
  return first_of(f.attentions, [&](const AttentionFacts& attention) -> Found {
    for (const KvScaleFacts* scale : {&attention.key, &attention.value}) {
      if (!scale->stored()) continue;
      if (const Found why = breaks(*scale)) return scale->tensor + " has " + *why;
    }
    return std::nullopt;
  });
}
std::string count_text(const KvScaleFacts& scale) {
  return std::to_string(scale.count) + (scale.count == 1 ? " value" : " values");
}

// vLLM asks for it as it builds Attention, which latent attention is not.
bool asks_scheme(const Facts& f, const Target& t) {
  return has_kv(f) && !(t.is(Engine::kVllm) && is_ct(f) && is_latent(f));
}

Found kv_not_fp8(const Facts& f, const Target& t) {
  return when(asks_scheme(f, t) && !kv_is_fp8(f), kv_text(f) + " is no FP8");
}

Found kv_strategy(const Facts& f, const Target& t) {
  // Compressed-tensors must say it.
  const std::string_view strategy = kv_scheme(f)["strategy"].string(is_ct(f) ? "" : "tensor");
  return when(asks_scheme(f, t) && strategy != "tensor" && strategy != "attn_head",
              "kv_cache_scheme has the strategy \"" + std::string(strategy) + "\"");
}

Found kv_asymmetric(const Facts& f, const Target& t) {
  if (!asks_scheme(f, t) || !is_ct(f)) return std::nullopt;
  // vLLM wants to see it.
  return when(!kv_scheme(f)["symmetric"].boolean(!t.is(Engine::kVllm)), kv_text(f));
}

Found kv_announced_dynamic(const Facts& f, const Target& t) {
  return when(asks_scheme(f, t) && kv_is_fp8(f) && kv_dynamic(f), kv_text(f));
}

// What compressed-tensors 0.9.4 does not parse.
Found tgi_scheme(const Facts& f, const Target&) {
  const std::string_view strategy = kv_scheme(f)["strategy"].string("tensor");
  const bool dynamic = kv_dynamic(f) && strategy != "tensor" && strategy != "token";
  return when(is_ct(f) && has_kv(f) && (dynamic || strategy == "attn_head"), kv_text(f));
}

Found kv_ignored(const Facts& f, const Target& t) {
  const bool unparsed = t.is(Engine::kTgi) && tgi_scheme(f, t);
  return when(is_ct(f) && has_kv(f) && !kv_taken(f, t) && !unparsed, kv_text(f));
}

// How many scales the engine has room for, and how it takes others.
bool by_head(const Facts& f, const Target& t) {
  return t.is(Engine::kVllm) && is_ct(f) && kv_per_head(f);
}
Found scale_count(const Facts& f, const Target& t) {
  // Scales beside the projections are not looked at by TensorRT-LLM.
  if (!kv_scales_taken(f, t) || (t.is(Engine::kTensorRtLlm) && is_ct(f))) return std::nullopt;
  const std::int64_t heads = by_head(f, t) ? kv_heads_of(f) : 1;
  return first_scale(f, [&](const KvScaleFacts& scale) {
    const bool more = by_head(f, t) && scale.count > heads;
    return when(scale.count != 1 && scale.count != heads && !more,
                count_text(scale) + ", room is for " + std::to_string(heads));
  });
}
Found scales_cut(const Facts& f, const Target& t) {
  if (!by_head(f, t) || !kv_scales_taken(f, t)) return std::nullopt;
  return first_scale(f, [&](const KvScaleFacts& scale) {
    return when(scale.count > kv_heads_of(f),
                count_text(scale) + " for " + std::to_string(kv_heads_of(f)) + " heads");
  });
}

// -1 is what engines put where nothing is stored.
float as_loaded(const KvScaleFacts& scale) {
  return scale.stored() ? scale.unusable.value_or(1.0F) : -1.0F;
}
// The engine goes by which scales are positive: both, none (then both are 1), or that of the keys
// alone; anything else is an assertion. Compressed-tensors in vLLM takes what is stored.
bool asserts(const Facts& f, const Target& t, const AttentionFacts& attention) {
  if (t.is(Engine::kTgi) || (t.is(Engine::kVllm) && is_ct(f))) return false;
  const float key = as_loaded(attention.key);
  const float value = as_loaded(attention.value);
  const bool none = t.is(Engine::kVllm) ? key < 0 && value < 0 : key <= 0 && value <= 0;
  return !(key > 0) && !none;
}
std::string state(const KvScaleFacts& scale, std::string_view name) {
  if (!scale.stored()) return "no " + std::string(name);
  return std::string(name) + " is " +
         (scale.unusable ? Json(static_cast<double>(*scale.unusable)).dump() : "usable");
}
Found key_scale_needed(const Facts& f, const Target& t) {
  if (!kv_scales_taken(f, t)) return std::nullopt;
  return first_of(f.attentions, [&](const AttentionFacts& attention) {
    return when(asserts(f, t, attention), attention.name + ": " + state(attention.key, "k_scale") +
                                              ", " + state(attention.value, "v_scale"));
  });
}
Found bad_scale(const Facts& f, const Target& t) {
  if (!kv_scales_taken(f, t)) return std::nullopt;
  return first_of(f.attentions, [&](const AttentionFacts& attention) -> Found {
    if (asserts(f, t, attention)) return std::nullopt;
    for (const KvScaleFacts* scale : {&attention.key, &attention.value}) {
      if (scale->unusable) return scale->tensor + " holds " + std::to_string(*scale->unusable);
    }
    return std::nullopt;
  });
}
Found missing_scale(const Facts& f, const Target& t) {
  if (!kv_scales_taken(f, t)) return std::nullopt;
  return first_of(f.attentions, [&](const AttentionFacts& attention) -> Found {
    if (asserts(f, t, attention)) return std::nullopt;
    if (!attention.key.stored()) return attention.name + " has no k_scale";
    return when(!attention.value.stored(), attention.name + " has no v_scale");
  });
}

Found kv_cut(const Facts& f, const Target& t) {
  if (!t.is_cpu()) return std::nullopt;
  return when(asks_scheme(f, t) && kv_is_fp8(f), "kv_cache_scheme on " + t.device->name);
}

Found kv_needs_flag(const Facts& f, const Target& t) {
  return when(asks_scheme(f, t) && kv_is_fp8(f),
              "kv_cache_scheme " + std::string(kv_per_head(f) ? "per head" : "per tensor"));
}

Found kv_without_scales(const Facts& f, const Target& t) {
  return when(has_kv(f) && kv_scales_taken(f, t) && !kv_dynamic(f) && f.attentions.empty(),
              "no k_scale among the tensors");
}

Found kv_head_version(const Facts& f, const Target& t) {
  return when(asks_scheme(f, t) && kv_per_head(f) && t.older_than("0.15.0"),
              "version " + t.version + ", scales per head");
}

Found trt_scales(const Facts& f, const Target&) {
  return when(kv_is_fp8(f) && !f.attentions.empty(), kv_text(f));
}

constexpr std::array kKvRules = {
    PreflightRule{
        "kv-width", "vllm", PreflightEffect::kRefuse,
        "the key-value cache of a checkpoint is FP8 only",
        "use --kv fp8; or no --kv, and --kv-cache-dtype int8_per_token_head of the engine",
        "vLLM 0.32.0 compressed_tensors.py: validate_kv_cache_scheme (\"Currently "
        "supported kv cache quantization is num_bits=8, type=float\")",
        kv_not_fp8},
    PreflightRule{"kv-strategy", "vllm", PreflightEffect::kRefuse,
                  "scales of the cache belong to tensors or heads", "use --kv fp8",
                  "vLLM 0.32.0 compressed_tensors.py: \"Invalid strategy for compressed-tensors KV "
                  "cache\"",
                  kv_strategy},
    PreflightRule{"kv-symmetric", "vllm", PreflightEffect::kRefuse,
                  "scales of the cache are symmetric", "use --kv fp8",
                  "vLLM 0.32.0 compressed_tensors.py: \"Only support symmetric scaling factor for "
                  "compressed-tensors KV cache\"",
                  kv_asymmetric},
    PreflightRule{
        "kv-fp8-only", "tensorrt-llm", PreflightEffect::kRefuse,
        "of kv_cache_scheme only FP8 is taken", "use --kv fp8",
        "TensorRT-LLM main (21156a7) models/quant_config_utils.py: \"Unsupported kv_cache_scheme\"",
        kv_not_fp8},
    PreflightRule{
        "kv-head-version", "vllm", PreflightEffect::kRefuse,
        "scales per head came with version 0.15.0", "upgrade, or calibrate per tensor",
        "vLLM #30141; 0.14.0 compressed_tensors.py has no strategies of the cache, 0.15.0 "
        "takes \"tensor\" and \"attn_head\"",
        kv_head_version},
    PreflightRule{
        "kv-tgi-scheme", "tgi", PreflightEffect::kRefuse,
        "kv_cache_scheme is parsed by compressed-tensors 0.9.4, which knows no scales per "
        "head and no dynamic ones of groups",
        "use --kv fp8, or --kv none",
        "TGI 3.3.7 models/__init__.py: \"Cannot parse compressed-tensors "
        "configuration\", requirements_cuda.txt; measured with compressed-tensors 0.9.4",
        tgi_scheme},
    PreflightRule{
        "kv-scale-count", "vllm sglang tgi tensorrt-llm", PreflightEffect::kRefuse,
        "a scale of keys or values has more or fewer values than there is room for",
        "calibrate again (--kv fp8)",
        "vLLM 0.32.0 model_loader/weight_utils.py and SGLang 0.5.23 srt/model_loader/"
        "weight_utils.py: default_weight_loader (\"Attempted to load weight\"); TGI 3.3.7 "
        "layers/attention/kv_cache.py: \"Key and value scales must be scalar tensors.\"; "
        "TensorRT-LLM main (00bbf71) _torch/modules/linear.py: load_kv_scales",
        scale_count},
    PreflightRule{"kv-key-scale", "vllm sglang", PreflightEffect::kRefuse,
                  "beside a scale of the values, that of the keys must be there and positive",
                  "calibrate again (--kv fp8)",
                  "vLLM 0.32.0 (ModelOpt, Quark) and SGLang 0.5.23 "
                  "layers/quantization/kv_cache.py: \"assert layer.k_scale > 0.0\"",
                  key_scale_needed},
    PreflightRule{"kv-scale-cut", "vllm", PreflightEffect::kWrong,
                  "of more scales than heads the first are taken",
                  "calibrate again (--kv fp8_head)",
                  "vLLM 0.32.0 compressed_tensors.py: _tp_aware_loader", scales_cut},
    PreflightRule{
        "kv-bad-scale", "vllm sglang tgi", PreflightEffect::kWrong,
        "a scale of keys or values that is not finite and positive is used as it is (SGLang: or "
        "replaced by 1, or by that of the keys)",
        "calibrate again (--kv fp8)",
        "vLLM 0.32.0 compressed_tensors.py: CompressedTensorsKVCacheMethod; SGLang 0.5.23 "
        "layers/quantization/kv_cache.py; TGI 3.3.7 layers/attention/kv_cache.py: get_kv_scales",
        bad_scale},
    PreflightRule{
        "kv-missing-scale", "vllm sglang tgi", PreflightEffect::kWrong,
        "a scale that other layers have is missing: it counts as 1 (SGLang: as that of the keys; "
        "TGI: and so does the other one of the layer)",
        "calibrate again (--kv fp8)",
        "vLLM 0.32.0 compressed_tensors.py: create_weights (torch.ones); SGLang 0.5.23 "
        "layers/quantization/kv_cache.py: scale_to_duplicate; TGI 3.3.7 "
        "layers/attention/kv_cache.py: get_kv_scales",
        missing_scale},
    PreflightRule{
        "kv-dynamic", "vllm tgi tensorrt-llm", PreflightEffect::kWrong,
        "\"dynamic\" of kv_cache_scheme is not read: scales are those that are stored, or 1",
        "calibrate again (--kv fp8)",
        "vLLM 0.32.0 compressed_tensors.py: validate_kv_cache_scheme; TGI 3.3.7 "
        "models/__init__.py: get_model; TensorRT-LLM main (21156a7) "
        "models/quant_config_utils.py",
        kv_announced_dynamic},
    PreflightRule{"kv-zero-points", "tgi tensorrt-llm", PreflightEffect::kWrong,
                  "\"symmetric\" of kv_cache_scheme is not read: zero points are left out",
                  "calibrate again (--kv fp8)",
                  "TGI 3.3.7 layers/attention/kv_cache.py: get_kv_scales; TensorRT-LLM main "
                  "(21156a7) models/quant_config_utils.py",
                  kv_asymmetric},
    PreflightRule{
        "kv-ignored", "sglang tgi", PreflightEffect::kWrong,
        "this kv_cache_scheme is ignored: the cache holds 16 bits, and more memory",
        "use --kv fp8, or --kv none and a flag of the engine",
        "SGLang 0.5.23 compressed_tensors.py: \"Ignoring compressed-tensors kv_cache_scheme\"; TGI "
        "3.3.7 models/__init__.py: kv_cache_dtype = dtype",
        kv_ignored},
    PreflightRule{"kv-flag", "vllm", PreflightEffect::kNote,
                  "the cache becomes FP8 unless --kv-cache-dtype says otherwise; scales per head "
                  "run in Flash Attention only",
                  "",
                  "vLLM 0.32.0 model_executor/layers/attention/attention.py: kv_cache_scheme; "
                  "docs/features/quantization/quantized_kvcache.md; measured on a CPU: auto gives "
                  "the perplexity of FP8",
                  kv_needs_flag},
    PreflightRule{"cpu-kv-cut", "vllm", PreflightEffect::kNote,
                  "an FP8 cache on a CPU cuts keys and values towards zero, which loses about "
                  "three times as much as rounding",
                  "serve with a 16-bit cache there",
                  "measured with vLLM 0.32.0: cpu_attn_reshape_and_cache", kv_cut},
    PreflightRule{"kv-without-scales", "vllm sglang tgi", PreflightEffect::kNote,
                  "missing scales of keys and values count as 1", "",
                  "vLLM 0.32.0 and SGLang 0.5.23 layers/quantization/kv_cache.py: \"use the "
                  "default value of 1.0\"; TGI 3.3.7 layers/attention/kv_cache.py: get_kv_scales",
                  kv_without_scales},
    PreflightRule{"kv-scales-unused", "tensorrt-llm", PreflightEffect::kNote,
                  "scales of an FP8 cache are not used and count as 1: those that are loaded go to "
                  "FP4 caches only",
                  "",
                  "TensorRT-LLM main (00547a2) _torch/modules/attention.py: kv_scales where "
                  "has_fp4_kv_cache",
                  trt_scales},
};

}  // namespace

std::span<const PreflightRule> preflight_kv_rules() { return kKvRules; }

}  // namespace quantlane
