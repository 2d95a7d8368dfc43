// Pre-flight: what single engines cannot do, whatever the device.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

bool is_ct(const Facts& f) { return f.dialect == "compressed-tensors"; }
bool is_gptq(const Facts& f) { return f.dialect == "gptq" || f.dialect == "gptq_v2"; }

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

Found sglang_modelopt_fp8(const Facts& f, const Target& t) {
  if (f.method != "modelopt" || !t.before(90)) return std::nullopt;
  return first_scheme(f, is_fp8);
}
Found sglang_modelopt_fp4(const Facts& f, const Target& t) {
  if (f.method != "modelopt" || !t.before(100)) return std::nullopt;
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

Found tgi_fp4(const Facts& f, const Target&) {
  return first_scheme(f,
                      [](const LinearScheme& s) { return is_nvfp4(s) || is_shared_exponent(s); });
}
Found tgi_width(const Facts& f, const Target&) {
  return first_scheme(f, [](const LinearScheme& s) {
    return is_weight_only_int(s) && s.weight.bits != 4 && s.weight.bits != 8;
  });
}
Found tgi_capability(const Facts& f, const Target& t) {
  return t.before(80) ? first_scheme(f, is_weight_only_int) : std::nullopt;
}
Found tgi_block(const Facts& f, const Target&) { return first_scheme(f, is_fp8_block); }

Found trt_int8(const Facts& f, const Target&) {
  return is_ct(f) ? first_scheme(f, is_int8_w8a8) : std::nullopt;
}
Found trt_fp8_tensor(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) {
    return is_fp8(s) && s.weight.granularity == Granularity::kTensor;
  });
}
Found trt_integers(const Facts& f, const Target&) {
  return is_ct(f) ? first_scheme(f, is_weight_only_int) : std::nullopt;
}
Found trt_native(const Facts& f, const Target&) {
  if (f.dialect != "fp8") return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) {
    return !is_fp8_block(s) || s.weight.block_rows != 128 || s.weight.group_size != 128;
  });
}
Found trt_groups(const Facts& f, const Target&) {
  const auto& groups = f.quantization["config_groups"].members();
  if (!is_ct(f) || groups.size() < 2) return std::nullopt;
  for (const auto& [name, group] : groups) {
    for (const Json& target : group["targets"].items()) {
      const std::string_view text = target.string();
      if (!text.starts_with("re:") && text.find('.') == std::string_view::npos) {
        return name + " targets the class \"" + std::string(text) + "\"";
      }
    }
  }
  return std::nullopt;
}
Found trt_capability(const Facts& f, const Target& t) {
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    if (!linear.scheme) return std::nullopt;
    const LinearScheme& s = *linear.scheme;
    const int needed = is_nvfp4(s) || is_mxfp4(s) ? 100
                       : is_fp8_block(s)          ? 90
                       : is_fp8(s)                ? 89
                                                  : 80;
    return when(t.before(needed), s.weight.spelling() + " needs compute capability " +
                                      std::to_string(needed / 10) + "." +
                                      std::to_string(needed % 10));
  });
}
Found trt_cuda(const Facts&, const Target& t) {
  return when(t.device && t.capability() == 0, t.device ? t.device->name : "");
}
Found trt_latent(const Facts& f, const Target&) {
  return first_linear(f, [](const LinearFacts& linear) {
    return when(linear.scheme && is_fp8(*linear.scheme) && linear.module.ends_with(".kv_b_proj"),
                "");
  });
}

constexpr std::string_view kTensorRt = "TensorRT-LLM 1.x _torch/model_config.py";

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
                  "vLLM compressed_tensors_wNA16.py: WNA16_SUPPORTED_BITS", packed_width},
    PreflightRule{
        "ct-odd-width", "vllm sglang tgi tensorrt-llm", PreflightEffect::kNote,
        "before 2026-06 compressed-tensors read 3, 5, 6 and 7 bits in padded words, later in "
        "dense ones",
        "take 4 or 8 bits", "compressed-tensors, change of 2026-06", odd_words},
    PreflightRule{"ct-asymmetric-products", "vllm sglang tgi tensorrt-llm",
                  PreflightEffect::kRefuse, "weights under rounded inputs are symmetric", "",
                  "vLLM CompressedTensorsConfig: only symmetric weight quantization",
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
                  "vLLM: \"does not match the quantization method specified\"; SGLang documents",
                  online_twice},
    PreflightRule{"online-cpu-fp8", "vllm", PreflightEffect::kRefuse, "online FP8 fails on a CPU",
                  "quantize the checkpoint",
                  "measured with vLLM 0.32.0: \"_C::static_scaled_fp8_quant() expected at most 0 "
                  "argument(s)\"",
                  online_cpu},
    PreflightRule{"sglang-modelopt-fp8", "sglang", PreflightEffect::kRefuse,
                  "modelopt_fp8 needs compute capability 9.0", "write compressed-tensors",
                  "SGLang documents", sglang_modelopt_fp8},
    PreflightRule{"sglang-modelopt-fp4", "sglang", PreflightEffect::kRefuse,
                  "modelopt_fp4 needs compute capability 10.0", "take the FP8 lane",
                  "SGLang documents", sglang_modelopt_fp4},
    PreflightRule{"sglang-mixed", "sglang", PreflightEffect::kRefuse,
                  "mixed widths in one checkpoint are a known limit", "quantize all modules alike",
                  "SGLang documents: known limitations", several_schemes},
    PreflightRule{"tgi-fp4", "tgi", PreflightEffect::kRefuse, "there is no FP4", "take FP8 or INT4",
                  "TGI 2026-01 sources", tgi_fp4},
    PreflightRule{"tgi-gptq-asymmetric", "tgi", PreflightEffect::kSlow,
                  "Marlin has zero points for AWQ only; Exllama takes over",
                  "quantize symmetrically", "TGI 2026-01 sources", asymmetric_gptq},
    PreflightRule{"tgi-width", "tgi", PreflightEffect::kRefuse, "packed integers have 4 or 8 bits",
                  "", "TGI 2026-01 sources", tgi_width},
    PreflightRule{"tgi-needs-ampere", "tgi", PreflightEffect::kSlow,
                  "Marlin needs compute capability 8.0; Exllama takes over", "",
                  "TGI 2026-01 sources", tgi_capability},
    PreflightRule{"tgi-fp8-block", "tgi", PreflightEffect::kRefuse,
                  "FP8 has one scale per tensor or channel", "take the fp8 lane",
                  "TGI 2026-01 sources: compressed-tensors schemes", tgi_block},
    PreflightRule{"trt-int8-as-fp8", "tensorrt-llm", PreflightEffect::kWrong,
                  "channel and token strategies are taken for FP8 without a look at the type",
                  "take the FP8 lane, or export with ModelOpt", kTensorRt, trt_int8},
    PreflightRule{"trt-fp8-tensor", "tensorrt-llm", PreflightEffect::kRefuse,
                  "per-tensor FP8 of compressed-tensors is not taken", "write modelopt", kTensorRt,
                  trt_fp8_tensor},
    PreflightRule{"trt-integers", "tensorrt-llm", PreflightEffect::kRefuse,
                  "packed integers of compressed-tensors are not taken",
                  "export INT4 with ModelOpt", kTensorRt, trt_integers},
    PreflightRule{"trt-fp8-blocks", "tensorrt-llm", PreflightEffect::kRefuse,
                  "native FP8 is taken with weight_block_size [128, 128] only", "write modelopt",
                  kTensorRt, trt_native},
    PreflightRule{"trt-class-names", "tensorrt-llm", PreflightEffect::kRefuse,
                  "with several groups, targets must be names or \"re:\" patterns",
                  "name the modules in targets", kTensorRt, trt_groups},
    PreflightRule{"trt-capability", "tensorrt-llm", PreflightEffect::kRefuse,
                  "the device is older than the scheme", "take an older scheme",
                  "TensorRT-LLM support matrix", trt_capability},
    PreflightRule{"trt-cuda", "tensorrt-llm", PreflightEffect::kRefuse,
                  "the engine runs on NVIDIA GPUs", "", "TensorRT-LLM", trt_cuda},
    PreflightRule{"trt-latent-kv", "tensorrt-llm", PreflightEffect::kRefuse,
                  "kv_b_proj of latent attention must stay unquantized", "list it in \"ignore\"",
                  "TensorRT-LLM FP8 of DeepSeek", trt_latent},
};

}  // namespace

std::span<const PreflightRule> preflight_engine_rules() { return kEngineRules; }

}  // namespace quantlane
