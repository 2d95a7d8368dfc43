// Pre-flight: what single engines cannot do, whatever the device.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

Found asymmetric_gptq(const Facts& f, const Target&) {
  if (!is_gptq(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) { return !s.weight.symmetric; });
}
Found gptq_width(const Facts& f, const Target&) {
  if (!is_gptq(f)) return std::nullopt;
  return first_scheme(
      f, [](const LinearScheme& s) { return s.weight.bits != 4 && s.weight.bits != 8; });
}
Found packed_width(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) {
    return is_weight_only_int(s) && s.weight.bits != 4 && s.weight.bits != 8;
  });
}
Found odd_words(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(
      f, [](const LinearScheme& s) { return is_weight_only_int(s) && 32 % s.weight.bits != 0; });
}
Found asymmetric_products(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) { return s.input && !s.weight.symmetric; });
}

// The first version with a scheme, where that is known.
struct FirstVersion {
  std::string_view version;
  std::string_view what;
  bool (*is)(const LinearScheme& scheme);
};
constexpr std::array kFirstVersions = {
    FirstVersion{"0.5.1", "packed integers (#5385)", is_weight_only_int},
    FirstVersion{"0.9.0", "NVFP4 weights (#17914, #18000)", is_nvfp4},
    FirstVersion{"0.9.1", "NVFP4 weights and inputs (#18312)",
                 [](const LinearScheme& s) { return is_nvfp4(s) && s.input.has_value(); }}};

Found too_old(const Facts& f, const Target& t) {
  if (!is_ct(f)) return std::nullopt;
  for (const FirstVersion& row : kFirstVersions) {
    if (!t.older_than(row.version)) continue;
    if (const Found found = first_scheme(f, row.is)) {
      return t.version + " is before " + std::string(row.version) + ": " + std::string(row.what) +
             "; " + *found;
    }
  }
  return std::nullopt;
}

Found gguf_refused(const Facts& f, const Target& t) {
  return when(f.container == "gguf" && !t.engine->gguf, "a GGUF file");
}
Found folder_refused(const Facts& f, const Target&) {
  return when(f.container != "gguf", "a folder of safetensors");
}
Found split_gguf(const Facts& f, const Target&) {
  return when(f.container == "gguf" && f.files > 1, std::to_string(f.files) + " files");
}
Found ollama_folder(const Facts& f, const Target&) {
  if (f.container == "gguf") return std::nullopt;
  if (f.quantized()) return "quant_method " + f.method;
  const auto& classes = f.config["architectures"].items();
  const std::string name(classes.empty() ? "" : classes[0].string());
  return when(name != "LlamaForCausalLM" && name != "MistralForCausalLM",
              "architecture \"" + name + "\"");
}

// What engines make of a plain checkpoint while they load it.
constexpr std::array<std::string_view, 6> kOnline = {
    "fp8",   "fp8_per_tensor", "fp8_per_block",
    "mxfp8", "bitsandbytes",   "int8_per_channel_weight_only"};

bool has_experts(const Facts& f) {
  return std::ranges::any_of(f.tensors, [](const std::string& name) {
    return name.find(".experts.") != std::string::npos;
  });
}
Found online_nothing(const Facts& f, const Target& t) {
  return when(t.online == "int8_per_channel_weight_only" && !has_experts(f),
              t.online + " on a model without experts");
}
Found online_unknown(const Facts&, const Target& t) {
  const bool known = t.online.empty() || std::ranges::find(kOnline, t.online) != kOnline.end();
  return when(!known, "\"" + t.online + "\"");
}
Found online_twice(const Facts& f, const Target& t) {
  return when(!t.online.empty() && f.quantized() && f.method != t.online,
              t.online + " over quant_method " + f.method);
}
Found online_cpu(const Facts&, const Target& t) {
  return when(t.is_cpu() && t.online.starts_with("fp8"),
              t.online + " on " + (t.device ? t.device->name : std::string()));
}

// Also of AMD, whose devices have no such number.
bool device_before(const Target& t, int wanted) {
  return t.device && !t.is_cpu() && t.capability() < wanted;
}
Found sglang_modelopt_fp8(const Facts& f, const Target& t) {
  if (f.method != "modelopt" || !device_before(t, 90)) return std::nullopt;
  return first_scheme(f, is_fp8);
}
Found sglang_nvfp4(const Facts& f, const Target& t) {
  if (!is_ct(f) || !t.before(100)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) { return is_nvfp4(s) && s.input; });
}
Found sglang_ct_mxfp4(const Facts& f, const Target&) {
  return is_ct(f) ? first_scheme(f, is_mxfp4) : std::nullopt;
}
// Petit decodes NVFP4 on MI250, MI300X and MI325X.
bool has_petit(const Target& t) {
  return t.is_amd_gpu() && (t.device->arch == "gfx90a" || t.device->arch == "gfx942");
}
Found sglang_petit(const Facts& f, const Target& t) {
  return has_petit(t) ? first_scheme(f, is_nvfp4) : std::nullopt;
}
Found sglang_amd_nvfp4(const Facts& f, const Target& t) {
  return t.is_amd_gpu() && !has_petit(t) ? first_scheme(f, is_nvfp4) : std::nullopt;
}
Found sglang_gguf(const Facts& f, const Target& t) {
  return when(f.container == "gguf" && t.is_amd_gpu(), t.device ? t.device->name : "");
}
Found sglang_common_format(const Facts& f, const Target&) {
  return when(is_ct(f) && f.quantization["format"].string() == "mixed-precision",
              "\"format\" is \"mixed-precision\"");
}
Found sglang_int8_experts(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) {
    return when(linear.scheme && is_int8_w8a8(*linear.scheme) &&
                    linear.module.find(".experts.") != std::string::npos,
                "");
  });
}
Found sglang_modelopt_fp4(const Facts& f, const Target& t) {
  if (f.method != "modelopt" || t.is_amd_gpu() || !t.before(100)) return std::nullopt;
  return first_scheme(f, is_nvfp4);
}
Found several_schemes(const Facts& f, const Target&) {
  const LinearFacts* first = nullptr;
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    if (!linear.scheme) return std::nullopt;
    if (first == nullptr) first = &linear;
    return when(linear.scheme != first->scheme,
                linear.scheme->weight.spelling() + " beside " + first->scheme->weight.spelling());
  });
}

constexpr std::string_view kSglangDocs =
    "SGLang docs/advanced_features/quantization.md (2026): platform compatibility, known issues";

constexpr std::array kEngineRules = {
    PreflightRule{
        "gptq-asymmetric", "vllm", PreflightEffect::kRefuse,
        "GPTQ is loaded with symmetric weights only",
        "quantize symmetrically, or write AWQ or compressed-tensors",
        "measured with vLLM 0.32.0: \"Unsupported quantization config: bits=4, sym=False\"; "
        "#38288, #45051",
        asymmetric_gptq},
    PreflightRule{"gptq-width", "vllm", PreflightEffect::kRefuse, "GPTQ is loaded with 4 or 8 bits",
                  "", "vLLM #38288, #45051", gptq_width},
    PreflightRule{"ct-width", "vllm sglang", PreflightEffect::kRefuse,
                  "packed integers have 4 or 8 bits", "",
                  "vLLM compressed_tensors_wNA16.py: WNA16_SUPPORTED_BITS; SGLang "
                  "compressed_tensors/__init__.py: WNA16_SUPPORTED_TYPES_MAP",
                  packed_width},
    PreflightRule{
        "ct-odd-width", "vllm sglang tgi tensorrt-llm", PreflightEffect::kNote,
        "before 2026-06 compressed-tensors read 3, 5, 6 and 7 bits in padded words, later in "
        "dense ones",
        "take 4 or 8 bits", "compressed-tensors, change of 2026-06", odd_words},
    PreflightRule{"ct-asymmetric-products", "vllm sglang tgi", PreflightEffect::kRefuse,
                  "weights under rounded inputs are symmetric", "",
                  "vLLM and SGLang compressed_tensors.py: \"Only symmetric weight quantization "
                  "supported\"; TGI 3.3.7 layers/compressed_tensors/w8a8_int.py",
                  asymmetric_products},
    PreflightRule{"engine-too-old", "vllm", PreflightEffect::kRefuse,
                  "this version of the engine does not have the scheme yet", "upgrade the engine",
                  "vLLM pull requests as named", too_old},
    PreflightRule{"gguf-elsewhere", "*", PreflightEffect::kRefuse, "the engine reads no GGUF files",
                  "serve it with llama.cpp, or make a folder lane",
                  "measured with vLLM 0.32.0: GGUF moved out to a plugin", gguf_refused},
    PreflightRule{
        "folder-elsewhere", "llama.cpp lmstudio", PreflightEffect::kRefuse,
        "the product reads GGUF files only", "quantlane quantize CKPT gguf:q4_k_m -o FILE.gguf",
        "llama.cpp README: models in other formats are converted to GGUF; LM Studio docs: "
        "import models",
        folder_refused},
    PreflightRule{"ollama-folder", "ollama", PreflightEffect::kRefuse,
                  "only unquantized folders of Llama and Mistral are imported",
                  "quantlane quantize CKPT gguf:q4_k_m -o FILE.gguf",
                  "Ollama docs/import.mdx: importing a model from Safetensors weights",
                  ollama_folder},
    PreflightRule{"gguf-in-one-piece", "ollama sglang", PreflightEffect::kRefuse,
                  "a GGUF file that was split is not put together",
                  "quantlane convert SPLIT.gguf ONE.gguf --to same",
                  "Ollama docs/modelfile.mdx: FROM takes one GGUF file; SGLang "
                  "srt/model_loader/loader.py: GGUFModelLoader reads one file",
                  split_gguf},
    PreflightRule{"localai-folder", "localai", PreflightEffect::kUnknown,
                  "folders are served by vLLM behind it", "ask with --engine vllm",
                  "LocalAI docs/content/features/text-generation.md: vLLM backend", folder_refused},
    PreflightRule{
        "online-nothing", "vllm", PreflightEffect::kWrong,
        "this online scheme quantizes experts only: dense Linears stay as they are, without a "
        "word",
        "quantize the checkpoint (w8a16, w8a8)",
        "measured with vLLM 0.32.0: text and memory as in bf16", online_nothing},
    PreflightRule{"online-unknown", "vllm", PreflightEffect::kRefuse,
                  "the engine has no such online scheme", "", "vLLM --quantization",
                  online_unknown},
    PreflightRule{"online-twice", "vllm sglang", PreflightEffect::kRefuse,
                  "a quantized checkpoint is not quantized again while it loads",
                  "leave the flag out",
                  "vLLM: \"does not match the quantization method specified\"; SGLang "
                  "docs/advanced_features/quantization.md: \"do not add --quantization\"",
                  online_twice},
    PreflightRule{"online-cpu-fp8", "vllm", PreflightEffect::kRefuse, "online FP8 fails on a CPU",
                  "quantize the checkpoint",
                  "measured with vLLM 0.32.0: \"_C::static_scaled_fp8_quant() expected at most 0 "
                  "argument(s)\"",
                  online_cpu},
    PreflightRule{"sglang-modelopt-fp8", "sglang", PreflightEffect::kRefuse,
                  "modelopt_fp8 needs compute capability 9.0, on NVIDIA",
                  "write compressed-tensors", kSglangDocs, sglang_modelopt_fp8},
    PreflightRule{"sglang-modelopt-fp4", "sglang", PreflightEffect::kRefuse,
                  "modelopt_fp4 needs compute capability 10.0", "take the FP8 lane", kSglangDocs,
                  sglang_modelopt_fp4},
    PreflightRule{"sglang-mixed", "sglang", PreflightEffect::kNote,
                  "mixed widths are not fully supported: within joined Linears they fail",
                  "quantize all modules alike", kSglangDocs, several_schemes},
    PreflightRule{"sglang-common-format", "sglang", PreflightEffect::kRefuse,
                  "the scheme is chosen by the format of the whole configuration, not of groups",
                  "quantize all modules alike",
                  "SGLang srt/layers/quantization/compressed_tensors/compressed_tensors.py: "
                  "quant_format in _get_scheme_from_parts",
                  sglang_common_format},
    PreflightRule{
        "sglang-int8-experts", "sglang", PreflightEffect::kRefuse,
        "experts of W8A8 run on NPUs only", "take the fp8 or w4a16 lane",
        "SGLang compressed_tensors.py: \"The W8A8Int8 Fused MoE scheme is implemented only "
        "for NPU for now\"",
        sglang_int8_experts},
    PreflightRule{"sglang-nvfp4-blackwell", "sglang", PreflightEffect::kRefuse,
                  "NVFP4 products need compute capability 10.0",
                  "take the FP8 lane, or NVFP4 weights alone (nvfp4a16)",
                  "SGLang compressed_tensors.py: \"Current platform does not support w4a4 nvfp4 "
                  "quantization\"",
                  sglang_nvfp4},
    PreflightRule{
        "sglang-ct-mxfp4", "sglang", PreflightEffect::kUnknown,
        "documented releases have no scheme for MXFP4 of compressed-tensors; newer sources "
        "have one for weights alone",
        "try it, or take another lane", "SGLang srt/layers/quantization/compressed_tensors/schemes",
        sglang_ct_mxfp4},
    PreflightRule{"sglang-petit", "sglang", PreflightEffect::kSlow,
                  "on AMD, NVFP4 runs as 16-bit arithmetic on FP4 weights (Petit)",
                  "take FP8 or MXFP4", kSglangDocs, sglang_petit},
    PreflightRule{"sglang-amd-nvfp4", "sglang", PreflightEffect::kRefuse,
                  "of AMD's devices only MI250, MI300X and MI325X have NVFP4 (Petit)",
                  "take FP8 or MXFP4", kSglangDocs, sglang_amd_nvfp4},
    PreflightRule{"sglang-amd-gguf", "sglang", PreflightEffect::kRefuse,
                  "kernels for GGUF are CUDA only", "serve it with llama.cpp", kSglangDocs,
                  sglang_gguf},
};

}  // namespace

std::span<const PreflightRule> preflight_engine_rules() { return kEngineRules; }

}  // namespace quantlane
