// Pre-flight: what scales, zero points and the key-value scheme hold.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

Found bad_scales(const Facts& f, const Target&) {
  return first_linear(f, [](const LinearFacts& linear) {
    return when(!linear.bad_scale.empty(), linear.bad_scale);
  });
}

Found bad_codes(const Facts& f, const Target&) {
  return first_linear(
      f, [](const LinearFacts& linear) { return when(!linear.bad_code.empty(), linear.bad_code); });
}

Found unequal_globals(const Facts& f, const Target&) {
  return first_product(f, [](const FusedLinears& product) -> Found {
    if (product.experts) return std::nullopt;
    const LinearFacts& first = *product.shards.front();
    for (const LinearFacts* shard : product.shards) {
      if (!shard->scheme || !is_nvfp4(*shard->scheme)) continue;
      if (shard->tensor_scale != first.tensor_scale) return "scales of the weights differ";
      if (shard->input_scale != first.input_scale) return "scales of the inputs differ";
    }
    return std::nullopt;
  });
}

Found ordered_groups(const Facts& f, const Target& t) {
  if (t.older_than("0.30.0")) return std::nullopt;
  if (f.dialect != "compressed-tensors") return std::nullopt;
  return first_linear(
      f, [](const LinearFacts& linear) { return when(linear.stored_order, "weight_g_idx"); });
}

const Json& kv_scheme(const Facts& f) { return f.quantization["kv_cache_scheme"]; }
bool has_kv(const Facts& f) { return kv_scheme(f).is_object(); }
bool kv_is_int(const Facts& f) { return kv_scheme(f)["type"].string("int") == "int"; }
std::int64_t kv_bits(const Facts& f) { return kv_scheme(f)["num_bits"].integer(8); }
bool kv_per_head(const Facts& f) { return kv_scheme(f)["strategy"].string() == "attn_head"; }

Found kv_not_fp8(const Facts& f, const Target&) {
  return when(has_kv(f) && (kv_is_int(f) || kv_bits(f) != 8),
              "kv_cache_scheme is no FP8: " + kv_scheme(f).dump());
}

Found kv_strategy(const Facts& f, const Target&) {
  const std::string_view strategy = kv_scheme(f)["strategy"].string("tensor");
  return when(has_kv(f) && strategy != "tensor" && strategy != "attn_head",
              "kv_cache_scheme has the strategy \"" + std::string(strategy) + "\"");
}

Found kv_cut(const Facts& f, const Target& t) {
  if (!t.is_cpu()) return std::nullopt;
  return when(has_kv(f), "kv_cache_scheme on " + t.device->name);
}

Found kv_needs_flag(const Facts& f, const Target&) {
  return when(has_kv(f),
              "kv_cache_scheme " + std::string(kv_per_head(f) ? "per head" : "per tensor"));
}

Found kv_without_scales(const Facts& f, const Target&) {
  return when(has_kv(f) && !kv_scheme(f)["dynamic"].boolean() && !f.has_tensor_ending("k_scale") &&
                  !f.has_tensor_ending("_proj.output_scale"),
              "no k_scale among the tensors");
}

Found kv_head_version(const Facts& f, const Target& t) {
  return when(has_kv(f) && kv_per_head(f) && t.older_than("0.15.0"),
              "version " + t.version + ", scales per head");
}

constexpr std::array kValueRules = {
    PreflightRule{"bad-scale", "*", PreflightEffect::kWrong,
                  "a scale that is zero, not finite or (FP4, inputs) negative makes NaN or silence "
                  "of its weights",
                  "quantize again", "quantlane inspect", bad_scales},
    PreflightRule{"bad-code", "*", PreflightEffect::kWrong,
                  "a code that is NaN makes NaN of every output", "quantize again",
                  "quantlane inspect", bad_codes},
    PreflightRule{"nvfp4-shared-scale", "vllm", PreflightEffect::kWrong,
                  "the largest scale of the joined Linears is used for all, without rescaling",
                  "give q, k and v (gate and up) one scale of the tensor",
                  "vLLM 0.32.0 compressed_tensors_w4a4_nvfp4.py: weight_global_scale.max(), \"will "
                  "likely result in reduced accuracy\"",
                  unequal_globals},
    PreflightRule{"ct-group-order", "vllm", PreflightEffect::kRefuse,
                  "groups in the order of activations are no longer loaded (since 0.30.0)",
                  "quantize with static act-order (no weight_g_idx)",
                  "vLLM 0.32.0 compressed_tensors.py: \"group/dynamic activation ordering ... is "
                  "no longer supported\"",
                  ordered_groups},
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
    PreflightRule{"kv-without-scales", "vllm sglang", PreflightEffect::kNote,
                  "missing scales of keys and values count as 1", "",
                  "vLLM 0.32.0 and SGLang 0.5.23 layers/quantization/kv_cache.py: \"use the "
                  "default value of 1.0\"",
                  kv_without_scales},
};

}  // namespace

std::span<const PreflightRule> preflight_value_rules() { return kValueRules; }

}  // namespace quantlane
