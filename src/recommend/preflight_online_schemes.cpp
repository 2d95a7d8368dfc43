#include "recommend/preflight_online_schemes.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/check.h"
#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

constexpr MadeScheme kPlain = {};
constexpr MadeScheme kFp8Tensor = {"fp8_e4m3_tensor", "fp8_e4m3_token"};
constexpr MadeScheme kFp8Channel = {"fp8_e4m3_channel", "fp8_e4m3_token"};
constexpr MadeScheme kFp8Block = {"fp8_e4m3_b128x128", "fp8_e4m3_g128"};
constexpr MadeScheme kMxfp8 = {"mxfp8", "mxfp8"};
constexpr MadeScheme kMxfp4 = {"mxfp4", "mxfp4"};
constexpr MadeScheme kNvfp4 = {"nvfp4", "nvfp4"};
constexpr MadeScheme kInt8Weights = {"int8_channel_sym", ""};

// vLLM 0.32.0 (0.33.0 the same) config/quantization.py: _ONLINE_SHORTHANDS ("linear stays
// unquantized (no `linear` field)"), layers/quantization/online/*.py, experts_int8.py (weights
// alone: fused_moe/oracle/int8.py, int8_w8a16_moe_quant_config), model_loader/weight_utils.py:
// "fp8" is fp8_per_tensor. SGLang 0.5.23 srt/layers/quantization/{fp8,w8a8_fp8,nvfp4_online}.py,
// srt/model_loader/weight_utils.py: "quantize MoE expert weights online; leave dense layers in
// source precision" (modelopt_fp4). TGI 3.3.7 layers/fp8.py: HybridFP8UnquantLoader.
constexpr std::array kSchemes = {
    OnlineScheme{Engine::kVllm, "fp8 fp8_per_tensor", kFp8Tensor, kFp8Tensor, true, 75, 0, 0},
    OnlineScheme{Engine::kVllm, "fp8_per_block", kFp8Block, kFp8Block, true, 75, 0, 0},
    OnlineScheme{Engine::kVllm, "fp8_per_channel", kFp8Channel, kFp8Channel, true, 75, 89, 0},
    OnlineScheme{Engine::kVllm, "mxfp8", kMxfp8, kMxfp8, true, 75, 0, 0},
    OnlineScheme{Engine::kVllm, "mxfp4", kMxfp4, kMxfp4, true, 75, 0, 0},
    OnlineScheme{Engine::kVllm, "nvfp4_per_token", kPlain, kNvfp4, false, 75, 100, 110},
    OnlineScheme{Engine::kVllm, "int8_per_channel_weight_only", kPlain, kInt8Weights, false, 75, 0,
                 0},
    OnlineScheme{Engine::kVllm, "experts_int8", kPlain, kInt8Weights, false, 80, 0, 0},
    OnlineScheme{Engine::kSglang, "fp8", kFp8Channel, kFp8Channel, true, 80, 0, 0},
    OnlineScheme{Engine::kSglang, "mxfp8", kMxfp8, kMxfp8, true, 100, 0, 0},
    OnlineScheme{Engine::kSglang, "w8a8_fp8", kFp8Channel, kFp8Channel, true, 89, 0, 0},
    OnlineScheme{Engine::kSglang, "modelopt_fp4", kPlain, kNvfp4, false, 80, 0, 0},
    OnlineScheme{Engine::kSglang, "nvfp4_online", kPlain, kNvfp4, false, 100, 0, 0},
    OnlineScheme{Engine::kTgi, "fp8", kFp8Channel, kFp8Channel, true, 0, 0, 0},
};

std::string needs(const EngineTarget& target, int capability) {
  return fmt::format("{} needs compute capability {}.{}, and {} has {}", target.online,
                     capability / 10, capability % 10, target.device->name,
                     target.capability() == 0 ? std::string("none")
                                              : fmt::format("{}.{}", target.capability() / 10,
                                                            target.capability() % 10));
}

// Surely a Linear that the engine builds with the scheme; embeddings, heads and routers are none,
// and of encoders of images and sound it depends on the model.
bool is_made(const LinearFacts& linear) {
  const std::string_view name = linear.module;
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  return has("layers.") && !has("vision") && !has("visual") && !has("audio") && !is_router(name);
}

std::optional<LinearScheme> parse(const MadeScheme& made) {
  if (made.weight.empty()) return std::nullopt;
  const auto weight = Scheme::parse(made.weight);
  QUANTLANE_CHECK(weight.has_value());
  LinearScheme scheme{.weight = *weight, .input = std::nullopt};
  if (!made.input.empty()) {
    const auto input = ActivationScheme::parse(made.input);
    QUANTLANE_CHECK(input.has_value());
    scheme.input = *input;
  }
  return scheme;
}

}  // namespace

const OnlineScheme* find_online_scheme(const EngineTarget& target) {
  if (target.online.empty()) return nullptr;
  const auto* found = std::ranges::find_if(kSchemes, [&](const OnlineScheme& row) {
    return target.is(row.engine) && has_word(row.names, target.online);
  });
  return found == kSchemes.end() ? nullptr : found;
}

bool has_experts(const ArtefactFacts& facts) {
  return std::ranges::any_of(facts.tensors, [](const std::string& name) {
    return name.find(".experts.") != std::string::npos;
  });
}

std::optional<std::string> online_device_refusal(const ArtefactFacts& facts,
                                                 const EngineTarget& target) {
  const OnlineScheme* row = find_online_scheme(target);
  if (row == nullptr || !target.device || facts.quantized()) return std::nullopt;
  if (target.is_amd_gpu() && !row->amd) return target.online + " on " + target.device->name;
  if (target.before(row->least)) return needs(target, row->least);
  if (row->is_for_experts() && !has_experts(facts)) return std::nullopt;
  const bool outside =
      row->until > 0 && (target.capability() < row->from || target.capability() >= row->until);
  return when(outside || target.before(row->from), needs(target, row->from));
}

std::optional<ArtefactFacts> with_online_schemes(const ArtefactFacts& facts,
                                                 const EngineTarget& target) {
  const OnlineScheme* row = find_online_scheme(target);
  if (row == nullptr || facts.quantized() || online_device_refusal(facts, target))
    return std::nullopt;
  const std::optional<LinearScheme> linears = parse(row->linears);
  const std::optional<LinearScheme> experts = parse(row->experts);
  ArtefactFacts made = facts;
  for (LinearFacts& linear : made.linears) {
    if (is_made(linear)) linear.scheme = is_expert(linear) ? experts : linears;
  }
  return made;
}

}  // namespace quantlane
