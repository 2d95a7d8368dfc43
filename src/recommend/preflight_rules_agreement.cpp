// Pre-flight: does the configuration agree with the tensors? Engines build their parameters from
// the one and fill them from the other.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

Found contradictory(const Facts& f, const Target&) {
  return when(f.contradictory && !f.unreadable.empty(), f.unreadable);
}

Found mismatch(const Facts& f, const Target&) { return when(!f.mismatch.empty(), f.mismatch); }

// Of the scheme, or of a configuration that cannot be read.
Found bits(const Facts& f, const Target&) {
  const std::int64_t written = f.quantization["bits"].integer(f.quantization["w_bit"].integer());
  return first_linear(f, [&](const LinearFacts& linear) {
    const std::int64_t said = linear.scheme ? linear.scheme->weight.bits : written;
    return when(linear.stored_bits != 0 && said != 0 && said != linear.stored_bits,
                "tensors of " + std::to_string(linear.stored_bits) +
                    " bits, the configuration says " + std::to_string(said));
  });
}

Found kept_but_quantized(const Facts& f) {
  return first_linear(f, [](const LinearFacts& linear) {
    return when(linear.kept_plain && linear.stored_quantized,
                "listed as not quantized, and stored with codes or scales");
  });
}
// This engine goes by the type of the tensor.
bool reads_types(const Facts& f, const Target& t) {
  return t.engine != nullptr && t.is(Engine::kTgi) && f.dialect == "fp8";
}
Found kept(const Facts& f, const Target& t) {
  return reads_types(f, t) ? std::nullopt : kept_but_quantized(f);
}

bool is_projection(std::string_view module) {
  for (const std::string_view suffix : {"_proj", ".w1", ".w2", ".w3", ".fc1", ".fc2"}) {
    if (module.ends_with(suffix)) return true;
  }
  return false;
}
Found unlisted(const Facts& f, const Target&) {
  if (f.dialect != "fp8" || !f.unreadable.empty()) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) {
    return when(linear.stored_plain && !linear.stored_quantized && !linear.kept_plain &&
                    is_projection(linear.module),
                "stored plain, and not in \"modules_to_not_convert\"");
  });
}

// Values of a tensor of such a name against the scheme.
Found differing(const Facts& f, std::string_view part) {
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    if (!linear.values || linear.values->tensor.find(part) == std::string::npos)
      return std::nullopt;
    return linear.values->text;
  });
}
Found zeros(const Facts& f, const Target&) { return differing(f, "zero"); }
Found order(const Facts& f, const Target&) { return differing(f, "g_idx"); }
Found codes(const Facts& f, const Target&) { return differing(f, ".weight"); }

constexpr std::string_view kAll = "vllm sglang tgi tensorrt-llm";
constexpr std::string_view kLoaders =
    "vLLM model_executor/parameter.py (\"assert param.shape == loaded_weight.shape\"); SGLang "
    "srt/layers/parameter.py; TGI 3.3.7 server/text_generation_server/utils/weights.py (\"weight "
    "... does not exist\"); TensorRT-LLM _torch/modules/linear.py";

constexpr std::array kAgreementRules = {
    PreflightRule{"config-contradicts", kAll, PreflightEffect::kRefuse,
                  "the configuration contradicts itself or the tensors: engines look for others",
                  "write what the tensors are into quantization_config", kLoaders, contradictory},
    PreflightRule{"tensors-differ", kAll, PreflightEffect::kRefuse,
                  "tensors are missing, or of another type or shape than config.json announces",
                  "correct config.json, or download the missing part", kLoaders, mismatch},
    PreflightRule{"bits-differ", kAll, PreflightEffect::kRefuse,
                  "words hold codes of another width than the configuration says",
                  "set \"bits\" to what the tensors have", kLoaders, bits},
    PreflightRule{
        "quantized-but-kept", "vllm tgi tensorrt-llm", PreflightEffect::kRefuse,
        "modules that the configuration keeps plain have no parameters for codes and scales",
        "take them out of \"ignore\" (\"modules_to_not_convert\", \"-:\" of \"dynamic\")",
        "vLLM model_executor/models/utils.py: AutoWeightsLoader (\"no module or parameter "
        "named\"); "
        "TGI 3.3.7 layers/compressed_tensors/loader.py: ignored modules load \"weight\"; "
        "TensorRT-LLM _torch/model_config.py: exclude_modules are built as bf16",
        kept},
    PreflightRule{"sglang-quantized-but-kept", "sglang", PreflightEffect::kWrong,
                  "modules that the configuration keeps plain take the codes without their scales, "
                  "with a warning",
                  "take them out of \"ignore\" or \"modules_to_not_convert\"",
                  "SGLang #23467: \"weight_scale_inv not found\" and bad output", kept},
    PreflightRule{"fp8-unlisted", "vllm sglang", PreflightEffect::kWrong,
                  "plain weights of modules that are not listed are cast to FP8 under a scale that "
                  "was never loaded",
                  "list them in \"modules_to_not_convert\"",
                  "vLLM model_executor/layers/quantization/fp8.py: create_weights; SGLang "
                  "srt/layers/quantization/fp8.py",
                  unlisted},
    PreflightRule{
        "zeros-differ", "*", PreflightEffect::kWrong,
        "zero points that the configuration does not announce shift every weight, except in "
        "kernels that ignore them (Marlin)",
        "correct checkpoint_format (\"sym\", \"zero_point\")", "vLLM #26343, #26092, #38966",
        zeros},
    PreflightRule{"order-differs", "*", PreflightEffect::kWrong,
                  "without desc_act engines ignore g_idx, and give columns the scales of others",
                  "set \"desc_act\" to true",
                  "vLLM model_executor/layers/quantization/utils/marlin_utils.py: "
                  "marlin_is_k_full, g_idx; TGI 3.3.7 layers/marlin/gptq.py",
                  order},
    PreflightRule{"codes-differ", kAll, PreflightEffect::kWrong,
                  "codes are outside the range that num_bits says, and are cut or wrap around",
                  "correct \"num_bits\"",
                  "vLLM model_executor/layers/quantization/compressed_tensors/schemes/"
                  "compressed_tensors_w4a8_int.py: bytes are taken for INT4",
                  codes},
};

}  // namespace

std::span<const PreflightRule> preflight_agreement_rules() { return kAgreementRules; }

}  // namespace quantlane
