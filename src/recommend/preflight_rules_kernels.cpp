// Pre-flight: has the device a kernel for the scheme, and which?
#include <array>

#include <fmt/format.h>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

std::string capability(const Target& t) {
  return fmt::format("compute capability {}.{}", t.capability() / 10, t.capability() % 10);
}

// The first Linear of such a scheme, where `device` is true.
template <class Is>
Found on(bool device, const Facts& f, const Target& t, const Is& is) {
  if (!device) return std::nullopt;
  Found found = first_scheme(f, is);
  if (!found) return found;
  return t.device->name + (t.capability() > 0 ? " (" + capability(t) + ")" : "") + "; " + *found;
}

bool fp4_inputs(const LinearScheme& s) {
  return (is_nvfp4(s) || is_mxfp4(s)) && s.input.has_value();
}
bool gptq_like(const Facts& f) { return f.method == "gptq"; }

Found fp8_old(const Facts& f, const Target& t) { return on(t.before(75), f, t, is_fp8); }
Found fp8_weight_only(const Facts& f, const Target& t) {
  return on(!t.before(75) && t.before(89), f, t, is_fp8);
}
Found int8_old(const Facts& f, const Target& t) { return on(t.before(75), f, t, is_int8_w8a8); }
Found int8_new(const Facts& f, const Target& t) {
  return on(t.capability() >= 100, f, t, is_int8_w8a8);
}
Found int4_old(const Facts& f, const Target& t) {
  return on(t.before(75) && !gptq_like(f), f, t, is_weight_only_int);
}
Found gptq_old(const Facts& f, const Target& t) {
  return on(t.before(75) && gptq_like(f), f, t, is_weight_only_int);
}
Found w4afp8(const Facts& f, const Target& t) {
  return on(t.device && t.capability() != 90, f, t, is_w4afp8);
}
Found nvfp4_old(const Facts& f, const Target& t) { return on(t.before(75), f, t, is_nvfp4); }
// Made while loading, it has the limit of OnlineQuantizationConfig, 7.5, as Marlin does.
Found mxfp4_old(const Facts& f, const Target& t) {
  return on(t.before(80) && f.quantized(), f, t, is_mxfp4);
}
Found fp4_weight_only(const Facts& f, const Target& t) {
  const bool older = t.before(100) && !t.before(75);
  return on(older, f, t, fp4_inputs);
}
bool is_mxfp8(const LinearScheme& s) { return is_shared_exponent(s) && s.weight.bits == 8; }
Found mxfp8_weight_only(const Facts& f, const Target& t) {
  return on(t.before(100) && !t.before(75), f, t, is_mxfp8);
}
Found amd_mxfp8(const Facts& f, const Target& t) {
  return on(t.is_amd_gpu() && t.device->arch != "gfx950", f, t, is_mxfp8);
}
Found mxfp4_half(const Facts& f, const Target&) {
  return when(f.dtype == DType::kF16 && f.method == "mxfp4", "dtype float16");
}

Found amd_marlin(const Facts& f, const Target& t) {
  return on(t.is_amd_gpu(), f, t, is_weight_only_int);
}
Found amd_nvfp4(const Facts& f, const Target& t) {
  return on(t.is_amd_gpu(), f, t, [](const LinearScheme& s) { return is_nvfp4(s) && !s.input; });
}
Found amd_emulated(const Facts& f, const Target& t) {
  return on(t.is_amd_gpu(), f, t, [](const LinearScheme& s) { return is_nvfp4(s) && s.input; });
}
bool is_odd_width(const LinearScheme& s) {
  return is_weight_only_int(s) && s.weight.bits != 4 && s.weight.bits != 8;
}
Found odd_width(const Facts& f, const Target& t) {
  return is_ct(f) && !t.is_cpu() && !t.is_amd_gpu() ? first_scheme(f, is_odd_width) : std::nullopt;
}
Found amd_odd_width(const Facts& f, const Target& t) {
  return is_ct(f) ? on(t.is_amd_gpu(), f, t, is_odd_width) : std::nullopt;
}
Found amd_mxfp4(const Facts& f, const Target& t) {
  return on(t.is_amd_gpu() && t.device->arch != "gfx950", f, t, is_mxfp4);
}
Found amd_fnuz(const Facts& f, const Target& t) {
  return on(t.is_amd_gpu() && t.device->arch == "gfx942", f, t, is_fp8);
}

Found cpu_fp4(const Facts& f, const Target& t) {
  return on(t.is_cpu(), f, t,
            [](const LinearScheme& s) { return is_nvfp4(s) || is_shared_exponent(s); });
}
Found cpu_w8a16(const Facts& f, const Target& t) {
  return on(t.is_cpu(), f, t,
            [](const LinearScheme& s) { return is_weight_only_int(s) && s.weight.bits != 4; });
}
Found cpu_experts(const Facts& f, const Target& t) {
  if (!t.is_cpu()) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) -> Found {
    if (!linear.scheme || !is_expert(linear)) return std::nullopt;
    return linear.scheme->weight.spelling();
  });
}
// AMX kernels of FP8 weights: of blocks, of tensors under one scale of the inputs, and, since
// 0.33.0, of rows.
bool has_amx_fp8(const LinearFacts& linear, const Target& t) {
  if (t.device->arch != "amx" || linear.rows % 32 != 0) return false;
  const LinearScheme& s = *linear.scheme;
  if (is_fp8_block(s)) return true;
  if (s.weight.granularity == Granularity::kChannel) return !t.older_than("0.33.0");
  return s.input && s.input->granularity == Granularity::kTensor;
}
bool blocks_want_amx(const LinearScheme& s, const Target& t) {
  return is_fp8_block(s) && t.device->arch != "amx";
}
Found cpu_fp8_by(const Facts& f, const Target& t, bool amx) {
  if (!t.is_cpu()) return std::nullopt;
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    if (!linear.scheme || !is_fp8(*linear.scheme)) return std::nullopt;
    if (blocks_want_amx(*linear.scheme, t)) return std::nullopt;
    return when(has_amx_fp8(linear, t) == amx, linear.scheme->weight.spelling());
  });
}
Found cpu_fp8_block(const Facts& f, const Target& t) {
  return on(t.is_cpu(), f, t, [&](const LinearScheme& s) { return blocks_want_amx(s, t); });
}
Found cpu_fp8(const Facts& f, const Target& t) { return cpu_fp8_by(f, t, false); }
Found cpu_amx_fp8(const Facts& f, const Target& t) { return cpu_fp8_by(f, t, true); }
Found cpu_int4(const Facts& f, const Target& t) {
  return on(t.is_cpu(), f, t,
            [](const LinearScheme& s) { return is_weight_only_int(s) && s.weight.bits == 4; });
}
Found cpu_amx(const Facts& f, const Target& t) {
  return on(t.is_cpu() && t.device->arch == "amx", f, t,
            [](const LinearScheme& s) { return is_weight_only_int(s) && s.weight.bits == 4; });
}

// Unified-memory devices have the paths that the database lists, no others.
Found no_kernel(const Facts& f, const Target& t) {
  if (!t.device || t.device->kind != DeviceKind::kUnified) return std::nullopt;
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    if (!linear.scheme) return std::nullopt;
    const LinearScheme& s = *linear.scheme;
    const ComputePath path = is_fp8(s)                    ? ComputePath::kFp8
                             : is_int8_w8a8(s)            ? ComputePath::kInt8
                             : is_nvfp4(s) || is_mxfp4(s) ? ComputePath::kFp4
                                                          : ComputePath::kWeightOnly;
    return when(t.device->support(path) == Support::kNone,
                t.device->name + " has no " + std::string(path_name(path)) + " path");
  });
}

constexpr std::string_view kMeasured = "measured with vLLM 0.32.0 on an AVX-512 CPU";

constexpr std::array kKernelRules = {
    PreflightRule{"fp8-needs-turing", "vllm", PreflightEffect::kRefuse,
                  "FP8 needs compute capability 7.5", "take an FP16 or GGUF lane",
                  "vLLM 0.32.0 fp8.py and compressed_tensors_w8a16_fp8.py: get_min_capability; "
                  "docs/features/quantization/llm_compressor/fp8.md",
                  fp8_old},
    PreflightRule{"fp8-weight-only", "vllm", PreflightEffect::kSlow,
                  "before compute capability 8.9 FP8 runs as 16-bit arithmetic on FP8 weights "
                  "(Marlin); inputs are not rounded",
                  "take INT8 (w8a8) for arithmetic, or INT4 for memory",
                  "vLLM docs/features/quantization/llm_compressor/fp8.md (263eecf)",
                  fp8_weight_only},
    PreflightRule{"int8-needs-turing", "vllm", PreflightEffect::kRefuse,
                  "INT8 products need compute capability 7.5", "",
                  "vLLM 0.32.0 compressed_tensors_w8a8_int8.py: get_min_capability", int8_old},
    PreflightRule{"int8-blackwell", "vllm", PreflightEffect::kRefuse,
                  "INT8 is not supported from compute capability 10.0 on", "take the FP8 lane",
                  "vLLM docs/features/quantization/llm_compressor/int8_w8a8.md (4ad1404): "
                  "\"Blackwell GPU Limitation\"",
                  int8_new},
    PreflightRule{"int4-needs-turing", "vllm", PreflightEffect::kRefuse,
                  "AWQ and packed integers need compute capability 7.5", "take GPTQ or GGUF",
                  "vLLM 0.32.0 auto_awq.py and compressed_tensors_wNa16.py: get_min_capability",
                  int4_old},
    PreflightRule{
        "gptq-on-volta", "vllm", PreflightEffect::kSlow,
        "before compute capability 7.5 there is no Marlin: Exllama (float16) or Triton takes over",
        "",
        "vLLM 0.32.0 auto_gptq.py, kernels/linear/mixed_precision/exllama.py and marlin.py: "
        "get_min_capability",
        gptq_old},
    PreflightRule{"w4afp8-sm90", "vllm", PreflightEffect::kRefuse,
                  "INT4 weights with FP8 inputs run on compute capability 9.0 only", "",
                  "vLLM 0.32.0 kernels/linear/mixed_precision/cutlass.py: \"CUTLASS W4A8 requires "
                  "compute capability of 90\"",
                  w4afp8},
    PreflightRule{"nvfp4-needs-turing", "vllm", PreflightEffect::kRefuse,
                  "NVFP4 needs compute capability 7.5", "",
                  "vLLM 0.32.0 compressed_tensors_w4a4_nvfp4.py: get_min_capability; #33076",
                  nvfp4_old},
    PreflightRule{"mxfp4-needs-ampere", "vllm", PreflightEffect::kRefuse,
                  "MXFP4 needs compute capability 8.0", "",
                  "vLLM 0.32.0 compressed_tensors_w4a4_mxfp4.py: get_min_capability", mxfp4_old},
    PreflightRule{"fp4-weight-only", "vllm", PreflightEffect::kSlow,
                  "before compute capability 10.0 FP4 runs as 16-bit arithmetic on FP4 weights; "
                  "inputs are not rounded",
                  "take the FP8 lane on Ada and Hopper",
                  "vLLM 0.32.0 kernels/linear/nvfp4/marlin.py: \"Your GPU does not have native "
                  "support for FP4 computation\"; compressed_tensors_w4a4_mxfp4.py",
                  fp4_weight_only},
    PreflightRule{"mxfp8-weight-only", "vllm", PreflightEffect::kSlow,
                  "before compute capability 10.0 MXFP8 runs as 16-bit arithmetic on 8-bit weights "
                  "(Marlin); inputs are not rounded",
                  "take the FP8 lane on Ada and Hopper",
                  "vLLM 0.32.0 kernels/linear/mxfp8/flashinfer.py: \"requires >=sm_100 "
                  "(Blackwell)\", marlin.py",
                  mxfp8_weight_only},
    PreflightRule{
        "mxfp4-half", "vllm", PreflightEffect::kRefuse,
        "quant_method mxfp4 takes bfloat16 activations only",
        "set \"dtype\" to bfloat16 in config.json",
        "vLLM 0.32.0 model_executor/layers/quantization/mxfp4.py: get_supported_act_dtypes",
        mxfp4_half},
    PreflightRule{"odd-width-humming", "vllm", PreflightEffect::kNote,
                  "packed integers of 2, 3, 5, 6 and 7 bits run in Humming alone, on compute "
                  "capability 7.5 with that package",
                  "take 4 or 8 bits",
                  "vLLM 0.32.0 compressed_tensors_wNa16.py: WNA16_SUPPORTED_TYPES_MAP, "
                  "kernels/linear/mixed_precision/humming.py: can_implement",
                  odd_width},
    PreflightRule{
        "amd-no-marlin", "vllm", PreflightEffect::kSlow,
        "there is no Marlin for AMD: packed integers run in Triton, Conch or Exllama kernels",
        "take the FP8 lane",
        "vLLM 0.32.0 kernels/linear/mixed_precision/marlin.py: \"Marlin only supported on CUDA\", "
        "kernels/linear/__init__.py: _POSSIBLE_KERNELS",
        amd_marlin},
    PreflightRule{"amd-no-nvfp4", "vllm", PreflightEffect::kRefuse,
                  "there is no kernel for NVFP4 weights alone on AMD", "take FP8 or MXFP4",
                  "vLLM 0.32.0 kernels/linear/__init__.py: init_nvfp4_linear_kernel (\"Forced "
                  "NVFP4 kernel ... is not supported\")",
                  amd_nvfp4},
    PreflightRule{"amd-nvfp4-emulated", "vllm", PreflightEffect::kSlow,
                  "NVFP4 on AMD is emulated: weights and inputs are decoded", "take FP8 or MXFP4",
                  "vLLM 0.32.0 kernels/linear/__init__.py: _POSSIBLE_NVFP4_KERNELS "
                  "(EmulationNvFp4LinearKernel)",
                  amd_emulated},
    PreflightRule{"amd-odd-width", "vllm", PreflightEffect::kRefuse,
                  "on AMD packed integers have 4 or 8 bits", "take 4 or 8 bits",
                  "vLLM 0.32.0 kernels/linear/__init__.py: _POSSIBLE_KERNELS, and their "
                  "SUPPORTED_QUANT_TYPES",
                  amd_odd_width},
    PreflightRule{
        "amd-mxfp4", "vllm", PreflightEffect::kSlow,
        "MXFP4 runs on gfx950 (MI350); elsewhere it is emulated, with the amd-quark package",
        "take the FP8 lane",
        "vLLM 0.32.0 kernels/linear/mxfp4/aiter.py: supports_mx, emulation.py: \"amd-quark package "
        "not available\"; docs/features/quantization/quark.md (026b62f)",
        amd_mxfp4},
    PreflightRule{"amd-mxfp8", "vllm", PreflightEffect::kSlow,
                  "MXFP8 runs on gfx950 (MI350); elsewhere weights are decoded to bf16 as they are "
                  "loaded",
                  "take the FP8 lane",
                  "vLLM 0.32.0 kernels/linear/mxfp8/rocm_native.py: \"native MX requires CDNA4 "
                  "(gfx95x)\", emulation.py: process_weights_after_loading",
                  amd_mxfp8},
    PreflightRule{
        "amd-fnuz", "vllm sglang", PreflightEffect::kNote,
        "FP8 is e4m3fnuz here: weights are rescaled by two when loaded", "",
        "vLLM 0.32.0 and SGLang 0.5.23 layers/quantization/fp8.py: normalize_e4m3fn_to_e4m3fnuz",
        amd_fnuz},
    PreflightRule{
        "cpu-no-fp4", "vllm", PreflightEffect::kRefuse,
        "the CPU has no kernel for FP4 and microscaling formats", "take W8A8 or W4A16",
        "measured with vLLM 0.32.0: \"Failed to find a kernel that can implement the NVFP4 "
        "linear layer\"",
        cpu_fp4},
    PreflightRule{"cpu-no-w8a16", "vllm", PreflightEffect::kRefuse,
                  "under 16-bit inputs the CPU has a kernel for 4-bit weights only",
                  "take W8A8, or W4A16",
                  "measured with vLLM 0.32.0: \"Quant type (uint8b128) not supported by "
                  "CPUWNA16\"; kernels/linear/mixed_precision/cpu.py",
                  cpu_w8a16},
    PreflightRule{"cpu-quantized-experts", "vllm", PreflightEffect::kRefuse,
                  "the CPU has no kernel for quantized experts",
                  "serve the plain checkpoint there, or a GGUF lane with llama.cpp",
                  "measured with vLLM 0.32.0: \"No WNA16 MoE backend\", \"No Int8 MoE backend\", "
                  "\"Unsupported FP8 MoE backend: NONE\"",
                  cpu_experts},
    PreflightRule{"cpu-fp8-block", "vllm", PreflightEffect::kRefuse,
                  "FP8 in blocks has no kernel on a CPU without AMX",
                  "take W8A8, or FP8 per channel",
                  "measured with vLLM 0.32.0: \"Failed to find a kernel that can implement the "
                  "ScaledMM linear layer\", \"requires AMX tile support\"",
                  cpu_fp8_block},
    PreflightRule{"cpu-fp8-slow", "vllm", PreflightEffect::kSlow,
                  "FP8 on a CPU took 19 to 23 times the time of bf16", "take W8A8", kMeasured,
                  cpu_fp8},
    PreflightRule{
        "cpu-amx-fp8", "vllm", PreflightEffect::kSlow,
        "with AMX FP8 runs as 16-bit arithmetic on FP8 weights; inputs are not rounded", "",
        "vLLM 0.33.0 kernels/linear/scaled_mm/cpu.py: CPUFp8PerTensorScaledMMLinearKernel, "
        "CPUFp8ChannelWiseScaledMMLinearKernel (not in 0.32.0), CPUFp8BlockScaledMMKernel; "
        "not run",
        cpu_amx_fp8},
    PreflightRule{"cpu-int4-slow", "vllm", PreflightEffect::kSlow,
                  "4-bit weights on a CPU took 1.1 to 1.6 times the time of bf16",
                  "take W8A8, or llama.cpp with GGUF", kMeasured, cpu_int4},
    PreflightRule{
        "cpu-amx-int8", "vllm", PreflightEffect::kNote,
        "with AMX the engine rounds inputs of 4-bit weights to INT8 unless told otherwise",
        "set VLLM_CPU_INT4_W4A8=0 to serve what was measured",
        "vLLM 0.32.0 kernels/linear/mixed_precision/cpu.py: VLLM_CPU_INT4_W4A8, not run", cpu_amx},
    PreflightRule{"no-kernel", "vllm sglang tgi tensorrt-llm", PreflightEffect::kRefuse,
                  "the device has no such arithmetic in the hardware database", "take a GGUF lane",
                  "data/hardware/devices.json, by the makers' data sheets", no_kernel},
};

}  // namespace

std::span<const PreflightRule> preflight_kernel_rules() { return kKernelRules; }

}  // namespace quantlane
