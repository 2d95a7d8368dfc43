// Pre-flight: what becomes of the flag with which an engine is to quantize while it loads.
#include <array>

#include "recommend/preflight_online_schemes.h"
#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

// What the flag does where the checkpoint is quantized already.
enum class OverQuantized : std::uint8_t {
  kStops,        // the engine refuses it
  kNames,        // it names the format that is there, or its kernel
  kReplaced,     // the format that is there takes its place, without a word
  kRequantizes,  // what is there is quantized again
};

// Names joined by blanks; "*" = any. Of an engine the first row that fits; what none says stops it,
// but the method itself as a flag.
struct FlagRow {
  Engine engine;
  std::string_view flags;
  std::string_view methods;
  OverQuantized effect;
};
// vLLM 0.32.0 config/model.py: _verify_quantization, and override_quantization_method of
// layers/quantization/{auto_awq,auto_gptq,modelopt,mxfp4,inc/inc}.py. SGLang 0.5.23
// srt/configs/model_config.py: _verify_quantization (compatible_quantization_methods,
// REQUANTIZATION_METHODS), _parse_modelopt_quant_config, and layers/quantization/base_config.py.
constexpr std::array kFlags = {
    FlagRow{Engine::kVllm, "awq_marlin auto_awq marlin", "awq", OverQuantized::kNames},
    FlagRow{Engine::kVllm, "gptq_marlin auto_gptq marlin", "gptq", OverQuantized::kNames},
    FlagRow{Engine::kVllm, "*", "modelopt auto-round gpt_oss_mxfp4", OverQuantized::kReplaced},
    FlagRow{Engine::kSglang, "quark_mxfp4", "*", OverQuantized::kRequantizes},
    FlagRow{Engine::kSglang, "nvfp4_online", "fp8 modelopt_fp8", OverQuantized::kRequantizes},
    FlagRow{Engine::kSglang, "modelopt_fp4", "fp8", OverQuantized::kRequantizes},
    FlagRow{Engine::kSglang, "nvfp4_online", "modelopt_fp4", OverQuantized::kStops},
    FlagRow{Engine::kSglang, "*", "modelopt_fp8 modelopt_fp4", OverQuantized::kReplaced},
    FlagRow{Engine::kSglang, "w8a8_fp8 w8a8_int8 auto-round-int8", "compressed-tensors",
            OverQuantized::kNames},
};

// As the engine calls it once it has read the configuration.
std::string method_of(const Facts& f, const Target& t) {
  const bool gpt_oss = f.method == "mxfp4" && f.model_key("model_type").string() == "gpt_oss";
  if (t.is(Engine::kVllm) && gpt_oss) return "gpt_oss_mxfp4";
  if (!t.is(Engine::kSglang) || f.method != "modelopt") return f.method;
  return first_scheme(f, is_nvfp4) ? "modelopt_fp4" : "modelopt_fp8";
}

// nullopt where there is no flag, or nothing quantized under it.
std::optional<OverQuantized> over_quantized(const Facts& f, const Target& t) {
  if (t.online.empty() || !f.quantized()) return std::nullopt;
  const std::string method = method_of(f, t);
  if (t.online == f.method || t.online == method) return OverQuantized::kNames;
  for (const FlagRow& row : kFlags) {
    if (t.is(row.engine) && has_word(row.flags, t.online) && has_word(row.methods, method))
      return row.effect;
  }
  // Which reads FP8 of other methods under this flag as well.
  const bool fp8 = t.is(Engine::kTgi) && t.online == "fp8" && first_scheme(f, is_fp8);
  return fp8 ? OverQuantized::kNames : OverQuantized::kStops;
}

std::string both(const Facts& f, const Target& t) {
  return t.online + " over quant_method " + f.method;
}

Found online_nothing(const Facts& f, const Target& t) {
  const auto over = over_quantized(f, t);
  const bool quantizes = !over || *over == OverQuantized::kRequantizes;
  const OnlineScheme* scheme = find_online_scheme(t);
  return when(quantizes && scheme != nullptr && scheme->is_for_experts() && !has_experts(f),
              t.online + " on a model without experts");
}
Found online_unknown(const Facts& f, const Target& t) {
  if (t.online.empty() || std::ranges::find(t.engine->online, t.online) != t.engine->online.end())
    return std::nullopt;
  // Then it is not about plain weights.
  if (f.quantized() && !t.engine->online.empty()) return std::nullopt;
  std::string known;
  for (const std::string_view scheme : t.engine->online)
    known += (known.empty() ? "" : ", ") + std::string(scheme);
  return "\"" + t.online + "\"; it has " + (known.empty() ? "none" : known);
}
Found online_named(const Facts& f, const Target& t) {
  return when(over_quantized(f, t) == OverQuantized::kNames, both(f, t));
}
Found online_replaced(const Facts& f, const Target& t) {
  return when(over_quantized(f, t) == OverQuantized::kReplaced, both(f, t));
}
Found online_requantized(const Facts& f, const Target& t) {
  return when(over_quantized(f, t) == OverQuantized::kRequantizes && !online_nothing(f, t),
              both(f, t));
}
Found online_twice(const Facts& f, const Target& t) {
  return when(over_quantized(f, t) == OverQuantized::kStops, both(f, t));
}
Found online_device(const Facts& f, const Target& t) { return online_device_refusal(f, t); }
Found online_cpu(const Facts& f, const Target& t) {
  return when(t.is_cpu() && !f.quantized() && has_word("fp8 fp8_per_tensor", t.online),
              t.online + " on " + (t.device ? t.device->name : std::string()));
}

constexpr std::string_view kVerify =
    "vLLM 0.32.0 config/model.py: _verify_quantization; SGLang 0.5.23 "
    "srt/configs/model_config.py: _verify_quantization; TGI 3.3.7 utils/quantization.py: "
    "get_loader goes by the flag";

constexpr std::array kOnlineRules = {
    PreflightRule{
        "online-nothing", "vllm sglang", PreflightEffect::kWrong,
        "this online scheme quantizes experts only: dense Linears stay as they are, without a "
        "word",
        "quantize the checkpoint (w8a16, w8a8)",
        "vLLM 0.32.0 config/quantization.py: \"linear stays unquantized (no `linear` field)\", "
        "layers/quantization/experts_int8.py: UnquantizedLinearMethod; measured: text and memory "
        "as in bf16; SGLang 0.5.23 srt/layers/quantization/nvfp4_online.py: "
        "UnquantizedLinearMethod",
        online_nothing},
    PreflightRule{"online-unknown", "*", PreflightEffect::kRefuse,
                  "the engine has no such scheme for plain weights",
                  "take one that it has, or leave the flag out",
                  "vLLM 0.32.0 model_executor/layers/quantization/__init__.py: "
                  "QuantizationMethods, config/quantization.py: _ONLINE_SHORTHANDS; SGLang 0.5.23 "
                  "srt/arg_groups/choices.py: "
                  "QUANTIZATION_CHOICES; TGI 3.3.7 launcher/src/main.rs: Quantization",
                  online_unknown},
    PreflightRule{"online-named", "vllm sglang tgi", PreflightEffect::kNote,
                  "the flag names the format that the checkpoint has: it is loaded as it is, and "
                  "nothing is quantized",
                  "", kVerify, online_named},
    PreflightRule{
        "online-replaced", "vllm sglang", PreflightEffect::kWrong,
        "the checkpoint is quantized: its own method takes the place of the flag, without "
        "a word, and nothing is quantized",
        "leave the flag out, or give the unquantized checkpoint",
        "vLLM 0.32.0 model_executor/layers/quantization/modelopt.py, mxfp4.py and inc/inc.py: "
        "override_quantization_method does not look at user_quant; SGLang 0.5.23 "
        "srt/layers/quantization/base_config.py: _modelopt_override_quantization_method",
        online_replaced},
    PreflightRule{
        "online-requantized", "sglang", PreflightEffect::kWrong,
        "the checkpoint is quantized, and is quantized again from what it decodes to: "
        "both errors add up",
        "give the unquantized checkpoint",
        "SGLang 0.5.23 srt/configs/model_config.py: REQUANTIZATION_METHODS (\"may incur a "
        "loss in accuracy\"), compatible_quantization_methods",
        online_requantized},
    PreflightRule{"online-twice", "vllm sglang tgi", PreflightEffect::kRefuse,
                  "the checkpoint is quantized: the engine takes the flag for the name of its "
                  "format, which is another, and stops",
                  "leave the flag out, or give the unquantized checkpoint",
                  "vLLM 0.32.0 config/model.py: \"does not match the quantization method "
                  "specified\"; SGLang 0.5.23 srt/configs/model_config.py: the same; TGI 3.3.7 "
                  "utils/quantization.py: get_loader goes by the flag",
                  online_twice},
    PreflightRule{
        "online-device", "vllm sglang", PreflightEffect::kRefuse,
        "the engine refuses this online scheme on the device",
        "take another scheme, or quantize the checkpoint for the device",
        "vLLM 0.32.0 layers/quantization/online/base.py and experts_int8.py: get_min_capability, "
        "online/nvfp4.py: \"requires a Blackwell (SM100) GPU\", online/fp8.py: \"FP8 PTPC online "
        "quant requires a kernel that honors per-token activation quantization\", "
        "platforms/rocm.py: supported_quantization; SGLang 0.5.23 fp8.py, w8a8_fp8.py, "
        "nvfp4_online.py and modelopt_quant.py: get_min_capability, "
        "srt/configs/model_config.py: rocm_supported_quantization",
        online_device},
    PreflightRule{"online-cpu-fp8", "vllm", PreflightEffect::kRefuse,
                  "online FP8 per tensor fails on a CPU",
                  "quantize the checkpoint, or take fp8_per_channel",
                  "measured with vLLM 0.32.0: \"_C::static_scaled_fp8_quant() expected at most 0 "
                  "argument(s)\"; fp8_per_channel ran",
                  online_cpu},
};

}  // namespace

std::span<const PreflightRule> preflight_online_rules() { return kOnlineRules; }

}  // namespace quantlane
