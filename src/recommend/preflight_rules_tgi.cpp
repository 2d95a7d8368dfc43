// Pre-flight: Text Generation Inference, by its sources at 3.3.7 (December 2025, the last release);
// paths are below server/text_generation_server.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

Found tgi_kv_heads(const Facts& f, const Target& t) {
  const std::int64_t count = f.model_key("num_key_value_heads").integer();
  return when(count > 0 && count % t.tensor_parallel != 0,
              std::to_string(count) + " key-value heads over " + std::to_string(t.tensor_parallel) +
                  " ranks");
}
// The loader of each group is chosen by the format of the whole configuration.
Found tgi_format(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  const std::string_view common = f.quantization["format"].string();
  if (common == "mixed-precision") return "\"format\" is \"mixed-precision\"";
  for (const auto& [name, group] : f.quantization["config_groups"].members()) {
    const std::string_view own = group["format"].string(common);
    if (own != common) return name + " has the format \"" + std::string(own) + "\" of its own";
  }
  return std::nullopt;
}
Found tgi_fp4(const Facts& f, const Target&) {
  return first_scheme(f,
                      [](const LinearScheme& s) { return is_nvfp4(s) || is_shared_exponent(s); });
}
Found tgi_asymmetric(const Facts& f, const Target&) {
  if (!is_gptq(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) { return !s.weight.symmetric; });
}
Found tgi_width(const Facts& f, const Target&) {
  return first_scheme(f, [&](const LinearScheme& s) {
    const bool two = is_gptq(f) && s.weight.bits == 2;
    return is_weight_only_int(s) && s.weight.bits != 4 && s.weight.bits != 8 && !two;
  });
}
Found tgi_old_packed(const Facts& f, const Target& t) {
  return t.before(80) && is_ct(f) ? first_scheme(f, is_weight_only_int) : std::nullopt;
}
Found tgi_old_gptq(const Facts& f, const Target& t) {
  return t.before(80) && !is_ct(f) ? first_scheme(f, is_weight_only_int) : std::nullopt;
}
Found tgi_group(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(
      f, [](const LinearScheme& s) { return is_weight_only_int(s) && !is_marlin_group(s); });
}
// Marlin, which packed integers and symmetric GPTQ get, and FP8 on compute capability 8.x.
Found tgi_marlin(const Facts& f, const Target& t) {
  if (t.before(80) || t.is_amd_gpu()) return std::nullopt;
  const bool ampere = t.capability() >= 80 && t.capability() < 90;
  return first_product(f, [&](const FusedLinears& product) -> Found {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    for (const LinearFacts* linear : product.shards) {
      if (product.experts || !linear->scheme) return std::nullopt;
      const LinearScheme& s = *linear->scheme;
      const bool integers = is_weight_only_int(s) && (s.weight.symmetric || !is_gptq(f));
      if (!integers && !(ampere && is_fp8(s))) return std::nullopt;
      rows += rows_of_rank(f, *linear, product.split, t.tensor_parallel);
      cols = cols_of_rank(*linear, product.split, t.tensor_parallel);
    }
    const bool fits = (cols % 128 == 0 && rows % 64 == 0) || (cols % 64 == 0 && rows % 128 == 0);
    return when(!fits, std::to_string(rows) + " rows x " + std::to_string(cols) + " columns");
  });
}
// Fused Linears look their tensors up under the names of GPTQ.
Found tgi_packed_zeros(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(
      f, [](const LinearScheme& s) { return is_weight_only_int(s) && !s.weight.symmetric; });
}
Found tgi_packed_order(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_linear(
      f, [](const LinearFacts& linear) { return when(linear.stored_order, "weight_g_idx"); });
}
// checkpoint_format is not read. Marlin needs no zero points of symmetric weights.
Found tgi_gptq_v2(const Facts& f, const Target& t) {
  if (f.dialect != "gptq_v2") return std::nullopt;
  return first_scheme(f, [&](const LinearScheme& s) {
    const bool width = s.weight.bits == 4 || s.weight.bits == 8;
    const bool marlin =
        s.weight.symmetric && width && is_marlin_group(s) && !t.before(80) && !t.is_amd_gpu();
    return !marlin;
  });
}
Found tgi_fp8_marlin(const Facts& f, const Target& t) {
  if (t.capability() < 80 || t.capability() >= 90) return std::nullopt;
  return first_scheme(f, is_fp8);
}
Found tgi_fp8_block(const Facts& f, const Target& t) {
  return is_ct(f) || t.before(90) ? first_scheme(f, is_fp8_block) : std::nullopt;
}

constexpr std::array kTgiRules = {
    PreflightRule{"tgi-kv-heads", "tgi", PreflightEffect::kRefuse,
                  "key-value heads are not repeated: they must divide evenly over the ranks",
                  "use another --tp",
                  "TGI 3.3.7 models/custom_modeling/flash_llama_modeling.py: "
                  "\"num_key_value_heads must be divisible by num_shards\"",
                  tgi_kv_heads},
    PreflightRule{"tgi-group-format", "tgi", PreflightEffect::kRefuse,
                  "loaders are chosen by the format of the whole configuration, not of groups",
                  "quantize all modules alike",
                  "TGI 3.3.7 layers/compressed_tensors/loader.py: _get_target_loaders", tgi_format},
    PreflightRule{"tgi-fp4", "tgi", PreflightEffect::kRefuse, "there is no FP4", "take FP8 or INT4",
                  "TGI 3.3.7 layers/compressed_tensors/loader.py: _create_loader_for_group",
                  tgi_fp4},
    PreflightRule{"tgi-gptq-asymmetric", "tgi", PreflightEffect::kSlow,
                  "Marlin has zero points for AWQ only; Exllama takes over",
                  "quantize symmetrically", "TGI 3.3.7 layers/marlin/gptq.py: can_use_gptq_marlin",
                  tgi_asymmetric},
    PreflightRule{"tgi-width", "tgi", PreflightEffect::kRefuse,
                  "packed integers have 4 or 8 bits, GPTQ 2 too", "",
                  "TGI 3.3.7 layers/compressed_tensors/loader.py: _create_loader_for_group; "
                  "layers/gptq/triton.py: \"Only 2,4,8 bits are supported.\"",
                  tgi_width},
    PreflightRule{
        "tgi-packed-ampere", "tgi", PreflightEffect::kRefuse,
        "packed integers of compressed-tensors run in Marlin, from compute capability 8.0",
        "take GPTQ or AWQ",
        "TGI 3.3.7 layers/marlin/util.py: _check_marlin_kernels (\"requires a GPU with "
        "CUDA capability 8.0 or later\")",
        tgi_old_packed},
    PreflightRule{"tgi-packed-zeros", "tgi", PreflightEffect::kRefuse,
                  "zero points of packed integers are looked up as \"qzeros\" where Linears are "
                  "fused (q, k, v; gate, up)",
                  "quantize symmetrically (w4a16), or write AWQ",
                  "TGI 3.3.7 layers/compressed_tensors/wna16_int.py: get_multi_weights_col",
                  tgi_packed_zeros},
    PreflightRule{"tgi-packed-order", "tgi", PreflightEffect::kRefuse,
                  "the order of activations of packed integers is looked up as \"g_idx\"",
                  "quantize with static act-order (no weight_g_idx)",
                  "TGI 3.3.7 layers/compressed_tensors/wna16_int.py: get_multi_weights_col",
                  tgi_packed_order},
    PreflightRule{"tgi-int8-static", "tgi", PreflightEffect::kNote,
                  "calibrated scales of INT8 inputs are ignored: inputs are rounded token by token",
                  "",
                  "TGI 3.3.7 layers/compressed_tensors/w8a8_int.py: \"Forcing dynamic input "
                  "quantization\"",
                  static_int8_inputs},
    PreflightRule{"tgi-gptq-v2", "tgi", PreflightEffect::kWrong,
                  "checkpoint_format is not read: Exllama and Triton add 1 to zero points, as "
                  "version 1 means them (Marlin ignores those of symmetric weights)",
                  "write version 1 (gptq)",
                  "TGI 3.3.7 utils/quantization.py: get_loader; layers/gptq/triton.py: zeros + 1; "
                  "exllamav2_kernels/cuda/q_gemm_kernel_gptq.cuh",
                  tgi_gptq_v2},
    PreflightRule{"tgi-needs-ampere", "tgi", PreflightEffect::kSlow,
                  "Marlin and Exllama need compute capability 8.0; Triton takes over", "",
                  "TGI 3.3.7 layers/marlin/gptq.py: has_sm_8_0, layers/gptq/__init__.py: "
                  "CAN_EXLLAMA",
                  tgi_old_gptq},
    PreflightRule{
        "tgi-packed-group", "tgi", PreflightEffect::kRefuse,
        "packed integers of compressed-tensors have groups of 32, 64 or 128, or whole rows",
        "take one of those group sizes", "TGI 3.3.7 layers/marlin/gptq.py: repack_gptq_for_marlin",
        tgi_group},
    PreflightRule{
        "tgi-marlin-shape", "tgi", PreflightEffect::kRefuse,
        "Marlin wants multiples of 128 columns and 64 rows, or of 64 columns and 128 rows",
        "use fewer ranks, or another lane",
        "TGI 3.3.7 layers/marlin/gptq.py: _check_valid_shape, layers/marlin/fp8.py", tgi_marlin},
    PreflightRule{"tgi-fp8-marlin", "tgi", PreflightEffect::kSlow,
                  "on compute capability 8.x, 8.9 too, FP8 runs as 16-bit arithmetic (Marlin); "
                  "inputs are not rounded",
                  "set USE_CUTLASS_W8A8=1 on 8.9", "TGI 3.3.7 layers/fp8.py: get_fp8_linear",
                  tgi_fp8_marlin},
    PreflightRule{"tgi-fp8-block", "tgi", PreflightEffect::kRefuse,
                  "FP8 in blocks is read as native FP8 only, and not by Marlin (before compute "
                  "capability 9.0)",
                  "take the fp8 lane",
                  "TGI 3.3.7 layers/fp8.py: HybridFP8UnquantLoader; "
                  "layers/compressed_tensors/w8an_fp.py: one scale per tensor or row",
                  tgi_fp8_block},
};

}  // namespace

std::span<const PreflightRule> preflight_tgi_rules() { return kTgiRules; }

}  // namespace quantlane
