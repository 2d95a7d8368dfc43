// Pre-flight: SGLang, by its sources at 0.5.23; paths are below sglang. Rows that it shares with
// other engines lie with theirs.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

bool is_marlin_dialect(const Facts& f) { return is_ct(f) || is_gptq(f) || f.method == "gptq"; }

// On AMD no such Linear has a kernel, and on processors others.
Found sglang_marlin_alone(const Facts& f, const Target& t) {
  if (!is_marlin_dialect(f) || t.is_cpu() || t.is_amd_gpu()) return std::nullopt;
  return first_scheme(f, [&](const LinearScheme& s) {
    const bool width = s.weight.bits == 4 || s.weight.bits == 8;
    const bool zeros = !is_ct(f) && !s.weight.symmetric;
    return is_weight_only_int(s) && (!width || zeros || !is_marlin_group(s));
  });
}
Found sglang_amd_integers(const Facts& f, const Target& t) {
  return is_ct(f) && t.is_amd_gpu() ? first_scheme(f, is_weight_only_int) : std::nullopt;
}
Found sglang_amd_methods(const Facts& f, const Target& t) {
  if (!t.is_amd_gpu()) return std::nullopt;
  if (f.container == "gguf") return "a GGUF file";
  return when(f.method == "gptq" || f.method == "bitsandbytes", "quant_method " + f.method);
}
Found sglang_before_ampere(const Facts& f, const Target& t) {
  if (!t.before(80)) return std::nullopt;
  return first_scheme(f, [&](const LinearScheme& s) {
    return is_fp8(s) || is_int8_w8a8(s) || is_nvfp4(s) ||
           (is_marlin_dialect(f) && is_weight_only_int(s));
  });
}
// Native FP8, and what is made of plain weights, run so as well.
Found sglang_fp8_weights(const Facts& f, const Target& t) {
  const bool ampere = !t.before(80) && t.before(89);
  const bool marlin = is_ct(f) || f.method == "fp8" || !f.quantized();
  return marlin && ampere ? first_scheme(f, is_fp8) : std::nullopt;
}
// Of AMD too, whose devices have no such number.
Found sglang_modelopt_fp8(const Facts& f, const Target& t) {
  const bool older = t.device && !t.is_cpu() && t.capability() < 89;
  return f.method == "modelopt" && older ? first_scheme(f, is_fp8) : std::nullopt;
}
Found sglang_nvfp4_weights(const Facts& f, const Target& t) {
  if (t.before(80) || !t.before(100)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) { return is_nvfp4(s) && s.input; });
}
Found sglang_ct_mxfp4(const Facts& f, const Target&) {
  return is_ct(f) ? first_scheme(f, is_mxfp4) : std::nullopt;
}
// Petit decodes NVFP4 of ModelOpt on MI250, MI300X and MI325X.
bool has_petit(const Facts& f, const Target& t) {
  return f.method == "modelopt" && (t.device->arch == "gfx90a" || t.device->arch == "gfx942");
}
Found sglang_petit(const Facts& f, const Target& t) {
  return t.is_amd_gpu() && has_petit(f, t) ? first_scheme(f, is_nvfp4) : std::nullopt;
}
Found sglang_amd_nvfp4(const Facts& f, const Target& t) {
  return t.is_amd_gpu() && !has_petit(f, t) ? first_scheme(f, is_nvfp4) : std::nullopt;
}
Found sglang_common_format(const Facts& f, const Target&) {
  const std::string_view format = f.quantization["format"].string();
  // What compressed-tensors calls storage that is not packed integers.
  constexpr std::array<std::string_view, 7> kOthers = {
      "dense",           "int-quantized",        "float-quantized",
      "naive-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
      "marlin-24"};
  const bool mixed = format == "mixed-precision";
  const bool other = std::ranges::find(kOthers, format) != kOthers.end();
  if (!is_ct(f) || (!mixed && !other)) return std::nullopt;
  return first_linear(f, [&](const LinearFacts& linear) {
    return when(linear.scheme && is_weight_only_int(*linear.scheme) && (other || is_expert(linear)),
                "\"format\" is \"" + std::string(format) + "\"");
  });
}
Found sglang_int8_experts(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) {
    return when(linear.scheme && is_int8_w8a8(*linear.scheme) && is_expert(linear), "");
  });
}
Found sglang_zero_points(const Facts& f, const Target&) {
  return first_scheme(f, [](const LinearScheme& s) { return s.input && !s.input->symmetric; });
}
Found sglang_several_schemes(const Facts& f, const Target&) {
  const LinearFacts* first = nullptr;
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    if (!linear.scheme) return std::nullopt;
    if (first == nullptr) first = &linear;
    return when(linear.scheme != first->scheme,
                linear.scheme->weight.spelling() + " beside " + first->scheme->weight.spelling());
  });
}

constexpr std::array kSglangRules = {
    PreflightRule{"sglang-marlin-alone", "sglang", PreflightEffect::kRefuse,
                  "GPTQ and packed integers run in Marlin alone: 4 or 8 bits, groups of 32, 64, "
                  "128 or whole rows, GPTQ symmetric",
                  "quantize so, or write AWQ",
                  "SGLang 0.5.23 srt/layers/quantization/__init__.py: no gptq on CUDA, "
                  "gptq/gptq.py: is_gptq_marlin_compatible; compressed_tensors_wNa16.py: "
                  "WNA16_SUPPORTED_TYPES_MAP, marlin_utils.py: MARLIN_SUPPORTED_GROUP_SIZES",
                  sglang_marlin_alone},
    PreflightRule{"sglang-needs-ampere", "sglang", PreflightEffect::kRefuse,
                  "GPTQ, packed integers, INT8 products, FP8 and NVFP4 need compute capability 8.0",
                  "take AWQ or GGUF",
                  "SGLang 0.5.23 get_min_capability of GPTQMarlinConfig, Fp8Config, "
                  "ModelOptFp4Config and of compressed_tensors/schemes",
                  sglang_before_ampere},
    PreflightRule{
        "sglang-fp8-weight-only", "sglang", PreflightEffect::kSlow,
        "before compute capability 8.9 FP8 runs as 16-bit arithmetic on FP8 weights; inputs are "
        "not rounded",
        "take INT8 (w8a8) for arithmetic",
        "SGLang 0.5.23 compressed_tensors.py: _get_scheme_from_parts (CompressedTensorsW8A16Fp8); "
        "srt/layers/quantization/fp8_utils.py: can_auto_enable_marlin_fp8",
        sglang_fp8_weights},
    PreflightRule{"sglang-modelopt-fp8", "sglang", PreflightEffect::kRefuse,
                  "modelopt FP8 needs compute capability 8.9, on NVIDIA",
                  "write compressed-tensors",
                  "SGLang 0.5.23 srt/layers/quantization/modelopt_quant.py: "
                  "ModelOptFp8Config.get_min_capability (\"SM90+\" in the documents)",
                  sglang_modelopt_fp8},
    PreflightRule{"sglang-nvfp4-blackwell", "sglang", PreflightEffect::kSlow,
                  "before compute capability 10.0 NVFP4 runs as 16-bit arithmetic on FP4 weights; "
                  "inputs are not rounded",
                  "take the FP8 lane",
                  "SGLang 0.5.23 compressed_tensors.py: \"NVFP4 w4a4 requires compute capability "
                  ">= 10.0\"; documents (010dc4b) advanced_features/quantization.mdx: modelopt_fp4",
                  sglang_nvfp4_weights},
    PreflightRule{"sglang-ct-mxfp4", "sglang", PreflightEffect::kRefuse,
                  "there is no MXFP4 of compressed-tensors on GPUs", "take the FP8 or NVFP4 lane",
                  "SGLang 0.5.23 compressed_tensors.py: \"Activation-quantized float4 is only "
                  "supported in the NVFP4 layout\", no branch for weights alone",
                  sglang_ct_mxfp4},
    PreflightRule{
        "sglang-mixed", "sglang", PreflightEffect::kNote,
        "mixed widths are not fully supported: within joined Linears they fail",
        "quantize all modules alike",
        "SGLang documents (010dc4b) advanced_features/quantization.mdx: mixed-bit limitations",
        sglang_several_schemes},
    PreflightRule{
        "sglang-common-format", "sglang", PreflightEffect::kRefuse,
        "packed integers (experts of \"mixed-precision\" too) are taken by the format of the whole "
        "configuration, not of groups",
        "quantize all modules alike",
        "SGLang 0.5.23 compressed_tensors_wNa16_moe.py: \"For Fused MoE layers, only "
        "pack-quantized is supported\"; compressed_tensors.py: _get_scheme_from_parts asks "
        "quant_format",
        sglang_common_format},
    PreflightRule{"sglang-int8-experts", "sglang", PreflightEffect::kRefuse,
                  "experts of W8A8 run on NPUs only", "take the fp8 or w4a16 lane",
                  "SGLang 0.5.23 compressed_tensors.py: \"The W8A8Int8 Fused MoE scheme is "
                  "implemented only for NPU for now.\"",
                  sglang_int8_experts},
    PreflightRule{"sglang-zero-points", "sglang", PreflightEffect::kWrong,
                  "zero points of inputs are loaded and not used: inputs are rounded symmetrically",
                  "quantize with symmetric inputs (w8a8)",
                  "SGLang main (0fbab45) compressed_tensors_w8a8_int8.py: \"TODO: add "
                  "cutlass_scaled_mm_azp support\"",
                  sglang_zero_points},
    PreflightRule{"sglang-int8-static", "sglang", PreflightEffect::kNote,
                  "calibrated scales of INT8 inputs are ignored: inputs are rounded token by token",
                  "",
                  "SGLang main (0fbab45) compressed_tensors_w8a8_int8.py: apply_weights calls "
                  "per_token_quant_int8 always",
                  static_int8_inputs},
    PreflightRule{"sglang-petit", "sglang", PreflightEffect::kSlow,
                  "on AMD, NVFP4 of ModelOpt runs as 16-bit arithmetic on FP4 weights (Petit)",
                  "take FP8 or MXFP4",
                  "SGLang 0.5.23 srt/layers/quantization/petit.py: is_petit_nvfp4_compatible, "
                  "\"gfx90a and gfx942\"",
                  sglang_petit},
    PreflightRule{"sglang-amd-nvfp4", "sglang", PreflightEffect::kRefuse,
                  "on AMD only MI250, MI300X and MI325X have NVFP4, and of ModelOpt only (Petit)",
                  "take FP8 or MXFP4",
                  "SGLang 0.5.23 srt/layers/quantization/petit.py; documents (010dc4b) "
                  "advanced_features/quantization.mdx: petit_nvfp4",
                  sglang_amd_nvfp4},
    PreflightRule{"sglang-amd-integers", "sglang", PreflightEffect::kRefuse,
                  "packed integers of compressed-tensors have no kernel on AMD for dense Linears",
                  "take AWQ or the FP8 lane",
                  "SGLang 0.5.23 compressed_tensors_wNa16.py: gptq_marlin_repack on CUDA only",
                  sglang_amd_integers},
    PreflightRule{"sglang-amd-methods", "sglang", PreflightEffect::kRefuse,
                  "on AMD there are no GGUF, GPTQ and bitsandbytes",
                  "take AWQ, or serve GGUF with llama.cpp",
                  "SGLang 0.5.23 srt/configs/model_config.py: rocm_supported_quantization (\"is "
                  "currently not supported in ROCm\")",
                  sglang_amd_methods},
};

}  // namespace

std::span<const PreflightRule> preflight_sglang_rules() { return kSglangRules; }

}  // namespace quantlane
