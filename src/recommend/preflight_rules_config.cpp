// Pre-flight: is the configuration complete, and does it agree with the tensors and with itself?
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

Found unknown_method(const Facts& f, const Target& t) {
  if (!f.quantized() || t.engine->methods.empty()) return std::nullopt;
  const bool known = std::ranges::find(t.engine->methods, f.method) != t.engine->methods.end();
  return when(!known, "quant_method is \"" + f.method + "\"");
}

// Keys without which engines refuse a configuration, by method. A blank joins other spellings.
struct NeededKey {
  std::string_view method;
  std::string_view keys;
};
constexpr std::array kNeeded = {NeededKey{"gptq", "bits"},
                                NeededKey{"gptq", "group_size"},
                                NeededKey{"gptq", "desc_act"},
                                NeededKey{"gptq", "sym"},
                                NeededKey{"awq", "bits w_bit"},
                                NeededKey{"awq", "group_size q_group_size"},
                                NeededKey{"awq", "zero_point"},
                                NeededKey{"compressed-tensors", "format"},
                                NeededKey{"compressed-tensors", "config_groups"},
                                NeededKey{"fp8", "activation_scheme"},
                                NeededKey{"modelopt", "quant_algo quantization"},
                                NeededKey{"quark", "export"},
                                NeededKey{"auto-round", "bits"},
                                NeededKey{"auto-round", "packing_format"},
                                NeededKey{"bitsandbytes", "load_in_4bit load_in_8bit"}};

bool has_one_of(const Json& config, std::string_view keys) {
  while (!keys.empty()) {
    const std::size_t end = std::min(keys.find(' '), keys.size());
    if (config.contains(keys.substr(0, end))) return true;
    keys.remove_prefix(std::min(end + 1, keys.size()));
  }
  return false;
}

Found missing_keys(const Facts& f, const Target&) {
  std::string missing;
  for (const NeededKey& row : kNeeded) {
    if (row.method != f.method || has_one_of(f.quantization, row.keys)) continue;
    missing += (missing.empty() ? "" : ", ") + std::string(row.keys.substr(0, row.keys.find(' ')));
  }
  // A file beside config.json holds them for older tools, and engines look there too.
  return when(!missing.empty() && f.side_file.is_null(), missing);
}

Found arguments_outside_tables(const Facts& f, const Target&) {
  return when(is_ct(f) && !f.contradictory && !f.unreadable.empty(), f.unreadable);
}

Found not_judged(const Facts& f, const Target&) {
  if (!f.quantized() || is_ct(f)) return std::nullopt;
  if (f.dialect.empty()) return "quant_method \"" + f.method + "\"";
  return when(!f.unreadable.empty() && !f.contradictory, f.unreadable);
}

Found packed_experts(const Facts& f, const Target&) { return when(!f.packed.empty(), f.packed); }

bool stored_plain(const Facts& f, const LinearFacts& linear) {
  const auto has = [&](std::string_view suffix) {
    return std::ranges::find(f.tensors, linear.module + std::string(suffix)) != f.tensors.end();
  };
  return has(".weight") && !has(".weight_scale") && !has(".weight_scale_inv") &&
         !has(".weight.absmax");
}

// Families whose routers are built plain whatever the list says; Qwen3-MoE's ask it.
bool builds_routers_plain(const Facts& f) {
  constexpr std::array<std::string_view, 7> kFamilies = {
      "mixtral", "qwen2_moe", "deepseek_v2", "deepseek_v3", "gpt_oss", "glm4_moe", "olmoe"};
  return std::ranges::find(kFamilies, f.model_key("model_type").string()) != kFamilies.end();
}

Found routers(const Facts& f, const Target&) {
  const bool plain_is_fine = builds_routers_plain(f);
  return first_linear(f, [&](const LinearFacts& linear) {
    return when(
        linear.scheme && is_router(linear.module) && !(plain_is_fine && stored_plain(f, linear)),
        "");
  });
}

Found targeted_but_plain(const Facts& f, const Target&) {
  return first_linear(f, [&](const LinearFacts& linear) {
    return when(linear.scheme && !is_router(linear.module) && stored_plain(f, linear),
                "stored without scales, and not in \"ignore\"");
  });
}

std::string scheme_text(const LinearFacts& linear) {
  if (!linear.scheme) return "not quantized";
  return linear.scheme->weight.spelling() + (linear.scheme->input ? " with rounded inputs" : "");
}

std::string last_part(std::string_view module) {
  const std::size_t dot = module.rfind('.');
  return std::string(dot == std::string_view::npos ? module : module.substr(dot + 1));
}

// Static scales differ between shards by nature.
bool same_scheme(const LinearFacts& a, const LinearFacts& b) { return a.scheme == b.scheme; }

Found fused_schemes(const Facts& f, const Target&) {
  return first_product(f, [](const FusedLinears& product) -> Found {
    const LinearFacts& first = *product.shards.front();
    for (const LinearFacts* shard : product.shards) {
      if (same_scheme(first, *shard)) continue;
      return last_part(first.module) + " is " + scheme_text(first) + ", " +
             last_part(shard->module) + " is " + scheme_text(*shard);
    }
    return std::nullopt;
  });
}

Found packed_zero_points(const Facts& f, const Target&) {
  return first_linear(f, [](const LinearFacts& linear) {
    return when(linear.stored_zeros && linear.scheme && linear.scheme->weight.symmetric,
                "weight_zero_point beside \"symmetric\": true");
  });
}

Found embedding(const Facts& f, const Target& t) {
  return first_linear(f, [&](const LinearFacts& linear) -> Found {
    if (!linear.scheme || !linear.module.ends_with("embed_tokens")) return std::nullopt;
    const bool packed = t.is(Engine::kVllm) && is_ct(f) && is_weight_only_int(*linear.scheme);
    return when(!packed, "");
  });
}

// Names that have no place are left out with a warning, or none: what stands there is not loaded.
Found sglang_skipped(const Facts& f, const Target& t) {
  for (auto* finds : {routers, targeted_but_plain, embedding, packed_zero_points}) {
    if (const Found found = finds(f, t)) return found;
  }
  return std::nullopt;
}

// These are read, with others assumed where they are missing.
Found tgi_missing_keys(const Facts& f, const Target& t) {
  return is_gptq(f) || f.method == "awq" ? missing_keys(f, t) : std::nullopt;
}

Found status(const Facts& f, const Target&) {
  const std::string_view found = f.quantization["quantization_status"].string("compressed");
  return when(is_ct(f) && found != "compressed" && found != "frozen",
              "quantization_status is \"" + std::string(found) + "\"");
}

Found sparsity(const Facts& f, const Target&) {
  return when(!f.quantization["sparsity_config"].members().empty(),
              "sparsity_config " + f.quantization["sparsity_config"].dump());
}

Found rotations(const Facts& f, const Target&) {
  return when(!f.quantization["transform_config"].members().empty(), "transform_config is set");
}

// Entries of GPTQModel that keep modules plain, but those that the engine keeps plain itself.
Found excluded(const Facts& f, const Target&) {
  if (!is_gptq(f) || f.quantization["dynamic"].members().empty()) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) {
    const bool plain_anyway = is_router(linear.module) || linear.module.ends_with("lm_head");
    return when(linear.kept_plain && !plain_anyway, "");
  });
}
Found overrides(const Facts& f, const Target&) {
  return first_of(f.quantization["dynamic"].members(), [](const auto& row) {
    return when(!row.first.starts_with("-:"), "\"dynamic\": " + row.first);
  });
}

Found side_file(const Facts& f, const Target&) {
  const Json& beside = f.side_file["quantization"]["quant_algo"];
  const Json& own = f.quantization["quant_algo"];
  return when(!beside.is_null() && !own.is_null() && beside.string() != own.string(),
              "hf_quant_config.json says " + beside.dump() + ", config.json " + own.dump());
}

Found other_shape(const Facts& f, const Target&) {
  if (f.dialect == "bitsandbytes") return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) {
    return when(!linear.other_shape.empty(), linear.other_shape);
  });
}

constexpr std::array kConfigRules = {
    PreflightRule{"unknown-method", "*", PreflightEffect::kRefuse,
                  "the engine does not load this quant_method",
                  "convert it to another dialect, or serve it with another engine",
                  "vLLM 0.32.0 and SGLang 0.5.23: \"Unknown quantization method\" "
                  "(layers/quantization/__init__.py); TGI 3.3.7 models/__init__.py: get_model; "
                  "TensorRT-LLM main (008e0af) _torch/model_config.py: load_hf_quant_config",
                  unknown_method},
    PreflightRule{"missing-keys", "vllm sglang tensorrt-llm", PreflightEffect::kRefuse,
                  "keys of quantization_config that the engine asks for are missing",
                  "add them to quantization_config in config.json",
                  "vLLM 0.32.0 and SGLang 0.5.23 layers/quantization/base_config.py: \"Cannot find "
                  "any of ... in the model's quantization config\"; TensorRT-LLM main (21156a7) "
                  "models/quant_config_utils.py: \"config_groups is not set\"",
                  missing_keys},
    PreflightRule{"tgi-missing-keys", "tgi", PreflightEffect::kWrong,
                  "missing keys are assumed: 4 bits, whole rows, asymmetric",
                  "add them to quantization_config in config.json",
                  "TGI 3.3.7 utils/quantization.py: _get_quantizer_config", tgi_missing_keys},
    PreflightRule{"ct-arguments", "vllm sglang tgi tensorrt-llm", PreflightEffect::kRefuse,
                  "no engine has a scheme for these quantization arguments", "",
                  "vLLM 0.32.0 and SGLang 0.5.23 compressed_tensors.py: \"No compressed-tensors "
                  "compatible scheme was found\"; TGI 3.3.7 layers/compressed_tensors/loader.py: "
                  "\"has unsupported compressed-tensors\"; TensorRT-LLM main (21156a7) "
                  "models/quant_config_utils.py: \"Unsupported quant_bits\"",
                  arguments_outside_tables},
    PreflightRule{"not-judged", "vllm sglang tgi tensorrt-llm", PreflightEffect::kUnknown,
                  "this configuration cannot be read here: rules about its schemes were not asked",
                  "ask the engine itself", "this program", not_judged},
    PreflightRule{"packed-experts", "vllm sglang tgi tensorrt-llm", PreflightEffect::kUnknown,
                  "tensors that hold all experts of a layer are not looked into: rules about their "
                  "schemes, shapes and kernels were not asked",
                  "ask the engine itself", "this program", packed_experts},
    PreflightRule{
        "fused-scheme", "vllm sglang tgi tensorrt-llm", PreflightEffect::kRefuse,
        "Linears that the engine loads as one must all be quantized, the same way, or none",
        "quantize q, k and v (gate and up; all experts) alike",
        "vLLM 0.32.0 layers/quantization/utils/quant_utils.py: \"Detected some but not all shards "
        "of ... are quantized\"; SGLang documents (010dc4b) advanced_features/quantization.mdx: "
        "mixed-bit limitations; TGI 3.3.7 layers/compressed_tensors/loader.py: "
        "get_multi_weights_col; TensorRT-LLM main (00547a2) _torch/modules/attention.py: one "
        "qkv_proj",
        fused_schemes},
    PreflightRule{"router-quantized", "vllm tgi", PreflightEffect::kRefuse,
                  "routers are built without quantization, so their tensors find no place",
                  "list routers and expert gates in \"ignore\"",
                  "vLLM 0.32.0 model_executor/models/mixtral.py: GateLinear without quant_config; "
                  "TGI 3.3.7 flash_mixtral_modeling.py: gate = FastLinear",
                  routers},
    PreflightRule{"targeted-but-plain", "vllm tgi", PreflightEffect::kRefuse,
                  "the configuration says quantized where the tensors are plain",
                  "list these modules in \"ignore\"",
                  "KeyError \"...weight_scale\" (vLLM; llm-compressor #959); TGI 3.3.7 "
                  "utils/weights.py: get_filename",
                  targeted_but_plain},
    PreflightRule{"scales-missing", "tensorrt-llm", PreflightEffect::kWrong,
                  "plain weights where the configuration says quantized are cast, and their scales "
                  "are never loaded",
                  "list these modules in \"ignore\"",
                  "TensorRT-LLM main (00bbf71) _torch/modules/linear.py: copy_weight, "
                  "FP8BlockScalesLinearMethod",
                  targeted_but_plain},
    PreflightRule{"sglang-skipped", "sglang", PreflightEffect::kWrong,
                  "tensors that have no place (of routers, embeddings, plain or symmetric Linears) "
                  "are left out with a warning or none",
                  "list such modules in \"ignore\"; drop weight_zero_point",
                  "SGLang 0.5.23 srt/models/llama.py: _load_weights (\"not found in "
                  "params_dict\"), srt/models/mixtral.py: gate without quant_config",
                  sglang_skipped},
    PreflightRule{"embedding-quantized", "vllm tgi tensorrt-llm", PreflightEffect::kRefuse,
                  "the token embedding is kept dense (vLLM: or packed integers), so its tensors "
                  "find no place",
                  "leave embed_tokens out of the targets",
                  "vLLM 0.32.0 compressed_tensors.py: \"embeddings only support weight-only INT\"; "
                  "TGI 3.3.7 utils/weights.py: get_filename; TensorRT-LLM main (06d0733) "
                  "_torch/modules/embedding.py: no quant_config",
                  embedding},
    PreflightRule{
        "zeros-on-symmetric", "vllm", PreflightEffect::kRefuse,
        "a symmetric scheme has no parameter for zero points",
        "drop weight_zero_point, or say \"symmetric\": false",
        "vLLM 0.32.0 compressed_tensors/schemes/compressed_tensors_wNa16.py: create_weights",
        packed_zero_points},
    PreflightRule{"tensor-dimensions", "vllm sglang", PreflightEffect::kRefuse,
                  "tensors must have the dimensions of the parameter, those of 1 too",
                  "reshape the tensor, or quantize again",
                  "vLLM 0.32.0 model_executor/parameter.py: \"assert self.data.shape == "
                  "loaded_weight.shape\"; SGLang 0.5.23 srt/layers/parameter.py: the same",
                  other_shape},
    PreflightRule{"quantization-status", "tgi", PreflightEffect::kRefuse,
                  "only finished checkpoints are taken: \"compressed\" or \"frozen\"", "",
                  "TGI 3.3.7 layers/compressed_tensors/loader.py: \"Model quantization was not "
                  "finished\"",
                  status},
    PreflightRule{
        "sparsity-removed", "vllm sglang", PreflightEffect::kRefuse,
        "2:4 sparsity was removed from the engines", "save the model dense",
        "vLLM #36799, 0.32.0 compressed_tensors.py: \"Sparsity support has been removed\"; SGLang "
        "0.5.23 compressed_tensors.py: \"CompressedTensors24 is not supported now\"",
        sparsity},
    PreflightRule{"rotations-ignored", "sglang tgi tensorrt-llm", PreflightEffect::kWrong,
                  "online rotations of transform_config are not applied",
                  "fuse the rotations into the weights",
                  "SGLang 0.5.23 compressed_tensors.py: from_config, TGI 3.3.7 "
                  "layers/compressed_tensors/loader.py and TensorRT-LLM main (21156a7) "
                  "models/quant_config_utils.py do not read transform_config",
                  rotations},
    PreflightRule{"dynamic-excluded", "tgi", PreflightEffect::kRefuse,
                  "modules that \"dynamic\" of GPTQModel keeps plain are looked up as qweight",
                  "quantize all modules, or write compressed-tensors",
                  "TGI 3.3.7 utils/quantization.py: _QuantizerConfig; layers/marlin/gptq.py and "
                  "layers/gptq/__init__.py: \"Cannot load `gptq` weight\"",
                  excluded},
    PreflightRule{"dynamic-ignored", "tgi", PreflightEffect::kWrong,
                  "per-module overrides of GPTQModel are not read", "quantize all modules alike",
                  "TGI 3.3.7 utils/quantization.py: _QuantizerConfig", overrides},
    PreflightRule{
        "side-file-differs", "tensorrt-llm", PreflightEffect::kWrong,
        "hf_quant_config.json is preferred to config.json, and they differ",
        "make both say the same",
        "TensorRT-LLM main (008e0af) _torch/model_config.py: \"The file is authoritative\"",
        side_file},
};

}  // namespace

std::span<const PreflightRule> preflight_config_rules() { return kConfigRules; }

}  // namespace quantlane
