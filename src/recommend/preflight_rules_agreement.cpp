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

// Readers here take it; Python's json.loads() does not.
Found byte_order_mark(const Facts& f, const Target&) {
  return when(f.config_mark, "EF BB BF before the first brace");
}

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
Found differing(const Facts& f, std::string_view part, bool out_of_range = false) {
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    const auto& values = linear.values;
    if (!values || values->tensor.find(part) == std::string::npos) return std::nullopt;
    return when(values->out_of_range == out_of_range, values->text);
  });
}
Found zeros(const Facts& f, const Target&) { return differing(f, "zero"); }
Found order(const Facts& f, const Target&) { return differing(f, "g_idx"); }
Found no_group(const Facts& f, const Target&) { return differing(f, "g_idx", true); }
Found codes(const Facts& f, const Target&) { return differing(f, ".weight"); }

constexpr std::string_view kAll = "vllm sglang tgi tensorrt-llm";
constexpr std::string_view kLoaders =
    "vLLM 0.32.0 model_executor/parameter.py and SGLang 0.5.23 srt/layers/parameter.py (\"assert "
    "self.data.shape == loaded_weight.shape\"); TGI 3.3.7 utils/weights.py: get_filename; "
    "TensorRT-LLM main (00bbf71) _torch/modules/linear.py: copy_weight";

constexpr std::array kAgreementRules = {
    PreflightRule{"config-contradicts", kAll, PreflightEffect::kRefuse,
                  "the configuration contradicts itself or the tensors: engines look for others",
                  "write what the tensors are into quantization_config", kLoaders, contradictory},
    PreflightRule{"byte-order-mark", kAll, PreflightEffect::kRefuse,
                  "config.json begins with a byte order mark, which is no JSON to Python",
                  "take it out: sed -i '1s/^\\xEF\\xBB\\xBF//' config.json",
                  "transformers 5.24.0 configuration_utils.py: _dict_from_json_file (\"is not a "
                  "valid JSON file\"), through which vLLM 0.32.0 transformers_utils/config.py: "
                  "get_config_dict, SGLang, TGI and TensorRT-LLM read it",
                  byte_order_mark},
    PreflightRule{"tensors-differ", kAll, PreflightEffect::kRefuse,
                  "tensors are missing, or of another type or shape than config.json announces",
                  "correct config.json, or download the missing part", kLoaders, mismatch},
    PreflightRule{"bits-differ", kAll, PreflightEffect::kRefuse,
                  "words hold codes of another width than the configuration says",
                  "set \"bits\" to what the tensors have", kLoaders, bits},
    PreflightRule{
        "quantized-but-kept", "vllm tgi", PreflightEffect::kRefuse,
        "modules that the configuration keeps plain have no parameters for codes and scales",
        "take them out of \"ignore\" (\"modules_to_not_convert\", \"-:\" of \"dynamic\")",
        "vLLM 0.32.0 model_executor/models/utils.py: AutoWeightsLoader (\"There is no module or "
        "parameter named\"); TGI 3.3.7 layers/compressed_tensors/loader.py: _lookup_loader loads "
        "\"weight\" of ignored modules",
        kept},
    PreflightRule{"kept-without-scales", "sglang tensorrt-llm", PreflightEffect::kWrong,
                  "modules that the configuration keeps plain take the codes without their scales",
                  "take them out of \"ignore\" or \"modules_to_not_convert\"",
                  "SGLang 0.5.23 srt/models/llama.py: warns \"not found in params_dict\", and "
                  "#23687 (garbage); TensorRT-LLM main _torch/model_config.py (008e0af: \"must be "
                  "built as bf16\"), _torch/modules/linear.py (00bbf71: copy_weight casts)",
                  kept},
    PreflightRule{"fp8-unlisted", "vllm sglang", PreflightEffect::kWrong,
                  "plain weights of modules that are not listed are cast to FP8 under a scale that "
                  "was never loaded",
                  "list them in \"modules_to_not_convert\"",
                  "vLLM 0.32.0 model_executor/layers/quantization/fp8.py: create_weights, "
                  "utils/fp8_utils.py: FP8_SCALE_SENTINEL; SGLang 0.5.23 "
                  "srt/layers/quantization/fp8.py: get_quant_method",
                  unlisted},
    PreflightRule{"zeros-differ", "*", PreflightEffect::kWrong,
                  "zero points that the configuration does not announce shift every weight, except "
                  "in kernels that ignore them (Marlin)",
                  "correct checkpoint_format (\"sym\", \"zero_point\")",
                  "vLLM #26092 (GPTQ v2 in the kernel of v1: gibberish); TGI 3.3.7 "
                  "layers/marlin/gptq.py: qzeros = None where sym",
                  zeros},
    PreflightRule{"order-differs", "*", PreflightEffect::kWrong,
                  "without desc_act engines ignore g_idx, and give columns the scales of others",
                  "set \"desc_act\" to true (vLLM from 0.30.0 on: quantize with static groups)",
                  "SGLang 0.5.23 srt/layers/quantization/marlin_utils.py: marlin_is_k_full; TGI "
                  "3.3.7 layers/marlin/gptq.py: perm where desc_act; vLLM 0.32.0 "
                  "utils/gptq_utils.py: normalize_and_validate_gptq_desc_act",
                  order},
    PreflightRule{
        "order-out-of-range", "*", PreflightEffect::kWrong,
        "g_idx names groups that are not there: scales are read from before or beyond them",
        "quantize again, or restore the file",
        "TGI 3.3.7 layers/gptq/triton.py: scales_ptrs + g_idx * stride_scales, unchecked",
        no_group},
    PreflightRule{"codes-differ", "vllm sglang tgi tensorrt-llm", PreflightEffect::kWrong,
                  "codes are outside the range that num_bits says, and are cut or wrap around",
                  "correct \"num_bits\"",
                  "vLLM 0.32.0 compressed_tensors/schemes/compressed_tensors_w4a8_int.py: bytes "
                  "(torch.int8) are taken for INT4",
                  codes},
};

}  // namespace

std::span<const PreflightRule> preflight_agreement_rules() { return kAgreementRules; }

}  // namespace quantlane
