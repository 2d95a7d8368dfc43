// Pre-flight: TensorRT-LLM's PyTorch backend, by files of its main branch in 2026, each with the
// commit at which it was read; paths are below tensorrt_llm.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

Found trt_int8(const Facts& f, const Target&) {
  return is_ct(f) ? first_scheme(f, is_int8_w8a8) : std::nullopt;
}
Found trt_fp8_tensor(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) {
    return is_fp8(s) && s.weight.granularity == Granularity::kTensor;
  });
}
Found trt_fp8_channel(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) {
    return is_fp8(s) && s.weight.granularity == Granularity::kChannel;
  });
}
Found trt_integers(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) { return is_int(s) && !is_int8_w8a8(s); });
}
Found trt_native(const Facts& f, const Target&) {
  if (f.dialect != "fp8") return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) {
    return is_fp8_block(s) && (s.weight.block_rows != 128 || s.weight.group_size != 128);
  });
}
Found trt_dynamic(const Facts& f, const Target&) {
  if (f.dialect != "fp8") return std::nullopt;
  return first_scheme(f, [](const LinearScheme& s) {
    return is_fp8(s) && !is_fp8_block(s) && (!s.input || s.input->dynamic);
  });
}
Found trt_inputs(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_scheme(f,
                      [](const LinearScheme& s) { return !is_int(s) && !s.input && !is_mxfp4(s); });
}
Found trt_mxfp4(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) -> Found {
    if (!is_expert(linear) || !linear.scheme) return std::nullopt;
    const LinearScheme& s = *linear.scheme;
    return when(is_mxfp4(s) && s.input.has_value(), s.weight.spelling());
  });
}
Found trt_mxfp4_dense(const Facts& f, const Target&) {
  if (!is_ct(f)) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) -> Found {
    if (is_expert(linear) || !linear.scheme) return std::nullopt;
    return when(is_mxfp4(*linear.scheme), linear.scheme->weight.spelling());
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
    const int needed = is_nvfp4(s)                      ? 100
                       : is_mxfp4(s) || is_fp8_block(s) ? 90
                       : is_fp8(s)                      ? 89
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

constexpr std::string_view kGroups =
    "TensorRT-LLM main (21156a7) models/quant_config_utils.py: _quant_config_from_config_group";

constexpr std::array kTensorRtRules = {
    PreflightRule{"trt-int8-as-fp8", "tensorrt-llm", PreflightEffect::kWrong,
                  "channel and token strategies are taken for FP8 without a look at the type",
                  "take the FP8 lane, or export with ModelOpt", kGroups, trt_int8},
    PreflightRule{"trt-fp8-tensor", "tensorrt-llm", PreflightEffect::kRefuse,
                  "per-tensor FP8 of compressed-tensors is not taken", "write modelopt", kGroups,
                  trt_fp8_tensor},
    PreflightRule{"trt-integers", "tensorrt-llm", PreflightEffect::kRefuse,
                  "packed integers of compressed-tensors are not taken",
                  "export INT4 with ModelOpt", kGroups, trt_integers},
    PreflightRule{"trt-fp8-blocks", "tensorrt-llm", PreflightEffect::kRefuse,
                  "native FP8 is taken in blocks of [128, 128] only", "write modelopt",
                  "TensorRT-LLM main (008e0af) _torch/model_config.py: \"FP8_BLOCK_SCALES only "
                  "supports block_size=(128,128)\"",
                  trt_native},
    PreflightRule{"trt-fp8-dynamic", "tensorrt-llm", PreflightEffect::kWrong,
                  "native FP8 without blocks and static scales counts as unquantized: codes are "
                  "cast without their scales",
                  "write modelopt",
                  "TensorRT-LLM main (008e0af) _torch/model_config.py: load_hf_quant_config; "
                  "(00bbf71) _torch/modules/linear.py: copy_weight",
                  trt_dynamic},
    PreflightRule{"trt-inputs", "tensorrt-llm", PreflightEffect::kRefuse,
                  "compressed-tensors without rounded inputs is taken for MXFP4 only",
                  "take a lane that rounds inputs (fp8, nvfp4)", kGroups, trt_inputs},
    PreflightRule{
        "trt-mxfp4-dense", "tensorrt-llm", PreflightEffect::kRefuse,
        "MXFP4 of compressed-tensors is for experts: there is no 16-bit product with it "
        "for other Linears",
        "take the nvfp4 or fp8 lane",
        "TensorRT-LLM main (21156a7) models/quant_config_utils.py: W4A16_MXFP4; (00bbf71) "
        "_torch/modules/linear.py: get_quant_method (\"unsupported quant mode\")",
        trt_mxfp4_dense},
    PreflightRule{"trt-mxfp4-inputs", "tensorrt-llm", PreflightEffect::kSlow,
                  "MXFP4 experts of compressed-tensors run as 16-bit arithmetic (W4A16_MXFP4); "
                  "inputs are not rounded",
                  "", kGroups, trt_mxfp4},
    PreflightRule{"trt-fp8-channel", "tensorrt-llm", PreflightEffect::kNote,
                  "versions before June 2026 fail on the scales per channel of compressed-tensors",
                  "take one with #15415",
                  "TensorRT-LLM #15415 (flatten per-channel weight_scale); main (00bbf71) "
                  "_torch/modules/linear.py: FP8RowwiseLinearMethod copies [out, 1] into [out]",
                  trt_fp8_channel},
    PreflightRule{"trt-class-names", "tensorrt-llm", PreflightEffect::kRefuse,
                  "with several groups, targets must be names or \"re:\" patterns",
                  "name the modules in targets",
                  "TensorRT-LLM main (21156a7) models/quant_config_utils.py: \"targets that select "
                  "modules by class name are not supported\"",
                  trt_groups},
    PreflightRule{"trt-capability", "tensorrt-llm", PreflightEffect::kRefuse,
                  "the device is older than the scheme", "take an older scheme",
                  "TensorRT-LLM docs/source/features/quantization.md (09d4c79): Hardware Support "
                  "Matrix; _torch/model_config.py (008e0af): get_mxfp4_quant_algo",
                  trt_capability},
    PreflightRule{"trt-cuda", "tensorrt-llm", PreflightEffect::kRefuse,
                  "the engine runs on NVIDIA GPUs", "serve it with another engine",
                  "TensorRT-LLM docs/source/supported-hardware.md (8f2e263)", trt_cuda},
    PreflightRule{
        "trt-latent-kv", "tensorrt-llm", PreflightEffect::kRefuse,
        "kv_b_proj of latent attention must stay unquantized", "list it in \"ignore\"",
        "TensorRT-LLM main (008e0af) _torch/model_config.py: \"kv_b_proj must always be excluded\"",
        trt_latent},
};

}  // namespace

std::span<const PreflightRule> preflight_tensorrt_llm_rules() { return kTensorRtRules; }

}  // namespace quantlane
