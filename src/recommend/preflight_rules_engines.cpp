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
Found ordered_gptq(const Facts& f, const Target& t) {
  if (!is_gptq(f) || t.older_than("0.30.0")) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) {
    return when(linear.scheme && linear.scheme->weight.act_order &&
                    linear.scheme->weight.granularity == Granularity::kGroup,
                "desc_act with groups");
  });
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
    // 0.9.0 has weights alone, under a strategy ("group") that compressed-tensors renamed since.
    FirstVersion{"0.9.1", "NVFP4 (#18312, #19224)", is_nvfp4},
    FirstVersion{"0.14.0", "MXFP4 (#31926)", is_mxfp4}};

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

// What Quark says of inputs, for all layers or some: "per_tensor is_dynamic".
Found quark_inputs(const Facts& f, std::string_view dtype) {
  if (f.dialect != "quark") return std::nullopt;
  const auto breaks = [&](const Json& layer, const std::string& where) -> Found {
    const Json& inputs = layer["input_tensors"];
    const std::string_view by = inputs["qscheme"].string();
    const bool one = inputs["is_dynamic"].boolean() && by != "per_channel";
    return when(one && inputs["dtype"].string() == dtype, where + ": " + std::string(by));
  };
  Found common = breaks(f.quantization["global_quant_config"], "global_quant_config");
  if (common) return common;
  return first_of(f.quantization["layer_quant_config"].members(),
                  [&](const auto& layer) { return breaks(layer.second, layer.first); });
}
Found quark_fp8_inputs(const Facts& f, const Target&) { return quark_inputs(f, "fp8_e4m3"); }
Found quark_int8_inputs(const Facts& f, const Target&) { return quark_inputs(f, "int8"); }

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
  const auto& classes = f.config["architectures"].items();
  const std::string name(classes.empty() ? "" : classes[0].string());
  const bool gpt_oss = f.method == "mxfp4" && name == "GptOssForCausalLM";
  if (f.quantized() && !gpt_oss) return "quant_method " + f.method;
  constexpr std::array<std::string_view, 17> kConverted = {
      "LlamaForCausalLM",    "Ministral3ForCausalLM", "MixtralForCausalLM", "GemmaForCausalLM",
      "Gemma2ForCausalLM",   "Gemma3ForCausalLM",     "Gemma4ForCausalLM",  "Phi3ForCausalLM",
      "Qwen2ForCausalLM",    "Qwen3NextForCausalLM",  "Olmo3ForCausalLM",   "CohereForCausalLM",
      "GptOssForCausalLM",   "DeepseekV3ForCausalLM", "Lfm2ForCausalLM",    "Lfm2MoeForCausalLM",
      "NemotronHForCausalLM"};
  return when(std::ranges::find(kConverted, name) == kConverted.end(),
              "architecture \"" + name + "\"");
}

constexpr std::array kEngineRules = {
    PreflightRule{"gptq-asymmetric", "vllm", PreflightEffect::kRefuse,
                  "GPTQ is loaded with symmetric weights only",
                  "quantize symmetrically, or write AWQ or compressed-tensors",
                  "measured with vLLM 0.32.0: \"Unsupported quantization config: bits=4, "
                  "sym=False\"; auto_gptq.py: TYPE_MAP",
                  asymmetric_gptq},
    PreflightRule{"gptq-width", "vllm", PreflightEffect::kRefuse, "GPTQ is loaded with 4 or 8 bits",
                  "", "vLLM 0.32.0 model_executor/layers/quantization/auto_gptq.py: TYPE_MAP",
                  gptq_width},
    PreflightRule{"gptq-order", "vllm", PreflightEffect::kRefuse,
                  "GPTQ with groups in the order of activations is no longer loaded (since 0.30.0)",
                  "quantize with static groups (desc_act false)",
                  "vLLM 0.32.0 utils/gptq_utils.py: \"GPTQ group activation ordering "
                  "(desc_act=True) is no longer supported\"",
                  ordered_gptq},
    PreflightRule{"ct-asymmetric-products", "vllm sglang tgi", PreflightEffect::kRefuse,
                  "weights under rounded inputs are symmetric", "",
                  "vLLM 0.32.0 and SGLang 0.5.23 compressed_tensors.py: \"Only symmetric weight "
                  "quantization supported\"; TGI 3.3.7 layers/compressed_tensors/w8a8_int.py: "
                  "\"asymmetric weights are not supported\"",
                  asymmetric_products},
    PreflightRule{"engine-too-old", "vllm", PreflightEffect::kRefuse,
                  "this version of the engine does not have the scheme yet", "upgrade the engine",
                  "vLLM 0.9.0, 0.9.1, 0.13.0 and 0.14.0 compressed_tensors.py: _is_fp4a16_nvfp4, "
                  "_is_mxfp4",
                  too_old},
    PreflightRule{
        "quark-one-scale", "vllm", PreflightEffect::kNote,
        "dynamic inputs that are not per_channel share one scale among all tokens of a pass; here "
        "each token is measured with its own",
        "export with dynamic inputs per_channel",
        "vLLM 0.33.0 quark/quark.py: _is_fp8_w8a8 (kFp8DynamicTensorSym); 0.32.0 the same",
        quark_fp8_inputs},
    PreflightRule{"quark-int8-inputs", "vllm", PreflightEffect::kRefuse,
                  "dynamic INT8 inputs have a scale per token, which Quark calls per_channel",
                  "export with dynamic inputs per_channel",
                  "vLLM 0.33.0 quark/quark.py: _is_w8a8_int8, \"No quark compatible scheme was "
                  "found.\"; 0.32.0 the same",
                  quark_int8_inputs},
    PreflightRule{
        "gguf-elsewhere", "*", PreflightEffect::kRefuse, "the engine reads no GGUF files",
        "serve it with llama.cpp, or make a folder: quantlane quantize CKPT fp8 -o FOLDER",
        "measured with vLLM 0.32.0: GGUF moved out to a plugin", gguf_refused},
    PreflightRule{
        "folder-elsewhere", "llama.cpp lmstudio", PreflightEffect::kRefuse,
        "the product reads GGUF files (LM Studio on a Mac: folders of MLX too)",
        "quantlane quantize CKPT gguf:q4_k_m -o FILE.gguf",
        "llama.cpp README: models in other formats are converted to GGUF; LM Studio documents "
        "(03123e6) 0_app/0_root/index.md: \"Run llama.cpp (GGUF) or MLX models\"",
        folder_refused},
    PreflightRule{
        "ollama-folder", "ollama", PreflightEffect::kRefuse,
        "only unquantized folders of some architectures, and the MXFP4 of gpt-oss, are imported",
        "quantlane quantize CKPT gguf:q4_k_m -o FILE.gguf",
        "Ollama 0.33.0-rc2 convert/convert.go: \"unsupported architecture\", "
        "convert_gptoss.go: mxfp4; docs/import.mdx",
        ollama_folder},
    PreflightRule{"gguf-in-one-piece", "sglang", PreflightEffect::kRefuse,
                  "a GGUF file that was split is not put together",
                  "quantlane convert SPLIT.gguf ONE.gguf --to same",
                  "SGLang 0.5.23 srt/model_loader/loader.py: GGUFModelLoader (\"is not a file\")",
                  split_gguf},
    PreflightRule{
        "ollama-split", "ollama", PreflightEffect::kNote,
        "a GGUF file that was split is merged when all its parts are named (FROM with a wildcard)",
        "quantlane convert SPLIT.gguf ONE.gguf --to same",
        "Ollama 0.33.0-rc2 server/create.go: mergeSplitGGUFLayers", split_gguf},
    PreflightRule{"localai-folder", "localai", PreflightEffect::kNote,
                  "folders are served by vLLM behind it, whose rules were asked", "",
                  "LocalAI 4.9.0 docs/content/features/text-generation.md: backends vllm, sglang",
                  folder_refused},
};

}  // namespace

std::span<const PreflightRule> preflight_engine_rules() { return kEngineRules; }

}  // namespace quantlane
