// Pre-flight: which attention takes an FP8 cache. Latent attention, sizes of heads, windows.
#include <algorithm>
#include <array>

#include "recommend/preflight_kv_parts.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

bool is_modelopt(const Facts& f) { return f.dialect == "modelopt"; }

// Does vLLM make the cache FP8 without being told?
bool becomes_fp8(const Facts& f, const Target& t) {
  return (is_ct(f) || is_modelopt(f)) && kv_taken(f, t) && !is_latent(f);
}
std::string heads_text(const Facts& f, const Target& t) {
  const std::int64_t size = head_dim_of(f);
  return (size == 0 ? "" : "heads of " + std::to_string(size) + " ") + "on " +
         (t.device ? t.device->name : "this device");
}

// Flash Attention 3 (Hopper) or 4 (Blackwell of data centres); elsewhere version 2 runs, which has
// no FP8 cache. 0 = the size of heads is not known.
bool flash_has_fp8(std::int64_t size, int capability) {
  if (size % 8 != 0) return false;
  if (capability >= 90 && capability < 100) return size <= 256 || size == 512;
  return capability >= 100 && capability < 110 && size <= 128;
}
bool flashinfer_has(std::int64_t size, int capability) {
  constexpr std::array<std::int64_t, 5> kSizes = {0, 64, 128, 256, 512};
  return capability >= 80 && std::ranges::find(kSizes, size) != kSizes.end();
}

Found per_head(const Facts& f, const Target& t) {
  if (!is_ct(f) || !becomes_fp8(f, t) || !kv_per_head(f)) return std::nullopt;
  const bool known = t.capability() > 0 || t.is_amd_gpu();
  return when(known && !flash_has_fp8(head_dim_of(f), t.capability()), heads_text(f, t));
}
Found per_tensor(const Facts& f, const Target& t, bool triton_runs) {
  if (!becomes_fp8(f, t) || kv_per_head(f) || t.capability() == 0) return std::nullopt;
  const std::int64_t size = head_dim_of(f);
  const bool triton = !flash_has_fp8(size, t.capability()) && !flashinfer_has(size, t.capability());
  return when(triton && (t.capability() >= 89) == triton_runs, heads_text(f, t));
}
Found no_attention(const Facts& f, const Target& t) { return per_tensor(f, t, false); }
Found triton_attention(const Facts& f, const Target& t) { return per_tensor(f, t, true); }

Found cpu_heads(const Facts& f, const Target& t) {
  const std::int64_t size = head_dim_of(f);
  return when(t.is_cpu() && becomes_fp8(f, t) && size % 32 != 0 && size % 16 == 0,
              heads_text(f, t));
}

Found cpu_one_scale(const Facts& f, const Target& t) {
  if (!t.is_cpu() || !is_ct(f) || !becomes_fp8(f, t) || !kv_per_head(f)) return std::nullopt;
  // Of one rank.
  const std::int64_t heads = kv_heads_of(f) / std::max<std::int64_t>(t.tensor_parallel, 1);
  return when(heads > 1, std::to_string(heads) + " heads of keys and values on " + t.device->name);
}

std::string latent_text(const Facts& f) {
  return "kv_lora_rank " + f.model_key("kv_lora_rank").dump();
}
Found latent_ignored(const Facts& f, const Target&) {
  return when(is_ct(f) && has_kv(f) && is_latent(f), latent_text(f));
}
Found latent_cpu(const Facts& f, const Target& t) {
  if (t.older_than("0.33.0") || !t.is_cpu() || !is_modelopt(f)) return std::nullopt;
  return when(is_latent(f) && kv_taken(f, t), latent_text(f) + " on " + t.device->name);
}
Found latent_scales(const Facts& f, const Target& t) {
  if (!is_latent(f) || !kv_taken(f, t) || kv_scales_taken(f, t)) return std::nullopt;
  return first_of(f.attentions, [](const AttentionFacts& attention) -> Found {
    for (const KvScaleFacts* scale : {&attention.key, &attention.value}) {
      if (scale->stored()) return scale->tensor;
    }
    return std::nullopt;
  });
}

Found tgi_heads(const Facts& f, const Target& t) {
  if (!is_ct(f) || !kv_taken(f, t)) return std::nullopt;
  constexpr std::array<std::int64_t, 4> kSizes = {0, 64, 128, 256};
  const std::string_view model = f.config["model_type"].string();
  if (model == "falcon" || model == "deepseek_v2") return "model_type " + std::string(model);
  const std::int64_t size = head_dim_of(f);
  return when(std::ranges::find(kSizes, size) == kSizes.end(), "heads of " + std::to_string(size));
}

Found windows(const Facts& f, const Target& t) {
  return when(becomes_fp8(f, t) && mixes_windows(f), "some layers have a sliding window");
}

constexpr std::array kAttentionRules = {
    PreflightRule{
        "kv-latent", "vllm", PreflightEffect::kWrong,
        "kv_cache_scheme does not reach latent attention: its cache holds 16 bits, and scales that "
        "are stored are left out",
        "leave the scheme out; --kv-cache-dtype fp8 makes the cache FP8 under a scale of 1: test "
        "it",
        "vLLM 0.33.0 compressed_tensors.py: get_quant_method (Attention, which MLAAttention is "
        "not), layers/attention/mla_attention.py: cache_config.cache_dtype, "
        "model_loader/weight_utils.py: maybe_remap_kv_scale_name; 0.32.0 the same",
        latent_ignored},
    PreflightRule{
        "kv-latent-cpu", "vllm", PreflightEffect::kRefuse,
        "latent attention on a CPU has no FP8 cache", "serve it with --kv-cache-dtype bfloat16",
        "vLLM 0.33.0 platforms/cpu.py: \"is not supported by MLA attention on CPU.\"", latent_cpu},
    PreflightRule{
        "kv-head-kernel", "vllm", PreflightEffect::kRefuse,
        "scales per head run in Flash Attention 3 (compute capability 9.0, heads up to 256 or of "
        "512) and 4 (10.0, heads up to 128) only",
        "use --kv fp8",
        "vLLM 0.33.0 v1/attention/backends/flash_attn.py: supports_per_head_quant_scales, "
        "supports_combination (\"FP8 KV cache requires FA3 on SM90\"), fa_utils.py: "
        "get_flash_attn_version; platforms/cuda.py: \"No valid attention backend found\"; 0.32.0 "
        "the same",
        per_head},
    PreflightRule{
        "kv-fp8-kernel", "vllm", PreflightEffect::kRefuse,
        "before compute capability 8.9 an FP8 cache runs in FlashInfer alone: from 8.0 on, for "
        "heads "
        "of 64, 128, 256 and 512",
        "serve it with --kv-cache-dtype bfloat16 (float16 before 8.0)",
        "vLLM 0.33.0 v1/attention/backends/triton_attn.py: \"native FP8 (fp8e4nv) requires "
        "SM89+\", "
        "flashinfer.py: get_supported_head_sizes, supports_compute_capability; 0.32.0 the same",
        no_attention},
    PreflightRule{
        "kv-triton", "vllm", PreflightEffect::kSlow,
        "with heads of this size an FP8 cache runs in Triton: Flash Attention has none for them "
        "here, FlashInfer has heads of 64, 128, 256 and 512",
        "",
        "vLLM 0.33.0 platforms/cuda.py: _get_backend_priorities; v1/attention/backends/"
        "fa_utils.py: flash_attn_supports_kv_cache_dtype, flashinfer.py: get_supported_head_sizes; "
        "0.32.0 the same",
        triton_attention},
    PreflightRule{
        "cpu-kv-heads", "vllm", PreflightEffect::kRefuse,
        "an FP8 cache on a CPU wants heads in multiples of 32",
        "serve it with --kv-cache-dtype bfloat16",
        "vLLM 0.33.0 v1/attention/backends/cpu_attn.py: \"FP8 KV cache requires head_size "
        "divisible by 32 on CPU.\"; 0.32.0 the same",
        cpu_heads},
    PreflightRule{
        "cpu-kv-one-scale", "vllm", PreflightEffect::kWrong,
        "the CPU takes one scale for all heads of a layer, the largest: scales per head are not "
        "applied per head",
        "use --kv fp8, or serve it with --kv-cache-dtype bfloat16",
        "vLLM 0.32.0 compressed_tensors.py: process_weights_after_loading (_to_scalar: \"For "
        "n_scales > 1 (e.g., ATTN_HEAD strategy), take max\"), v1/attention/backends/cpu_attn.py: "
        "k_scale=layer._k_scale_float; measured: the perplexity of scales per tensor",
        cpu_one_scale},
    PreflightRule{
        "kv-windows", "vllm", PreflightEffect::kNote,
        "layers with a sliding window have short caches, which become FP8 as well",
        "--kv-cache-dtype-skip-layers sliding_window keeps them at 16 bits",
        "vLLM 0.33.0 model_executor/layers/attention/attention.py: kv_cache_dtype_skip_layers, "
        "config/cache.py; 0.32.0 the same",
        windows},
    PreflightRule{
        "kv-latent-scales", "sglang", PreflightEffect::kWrong,
        "scales of latent attention are looked up below k_proj and v_proj, as ModelOpt writes "
        "them: "
        "these are left out, and an FP8 cache has a scale of 1",
        "leave the scheme out, or rename them (self_attn.k_proj.k_scale)",
        "SGLang 0.5.23 srt/models/deepseek_common/deepseek_weight_loader.py: \"modelopt attn kv "
        "scale is named differently\"; layers/quantization/kv_cache.py: "
        "process_weights_after_loading",
        latent_scales},
    PreflightRule{
        "tgi-kv-flashinfer", "tgi", PreflightEffect::kWrong,
        "kv_cache_scheme is ignored without FlashInfer, which runs heads of 64, 128 and 256 (not "
        "of "
        "falcon and deepseek_v2): the cache holds 16 bits",
        "leave the scheme out",
        "TGI 3.3.7 launcher/src/main.rs: resolve_attention (\"head dim is not supported by "
        "flashinfer\"), server/text_generation_server/models/__init__.py: ATTENTION == "
        "\"flashinfer\"",
        tgi_heads},
};

}  // namespace

std::span<const PreflightRule> preflight_attention_rules() { return kAttentionRules; }

}  // namespace quantlane
