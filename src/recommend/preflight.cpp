#include "recommend/preflight.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

#include "core/check.h"
#include "core/regex.h"
#include "recommend/preflight_online_schemes.h"
#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

// bitsandbytes left the sources before 0.32.0 (and is not in 0.33.0); fbgemm_fp8 wants
// --allow-deprecated-quantization.
constexpr std::array<std::string_view, 8> kVllmMethods = {
    "compressed-tensors", "gptq", "awq", "fp8", "modelopt", "mxfp4", "quark", "auto-round"};
constexpr std::array<std::string_view, 10> kSglangMethods = {
    "compressed-tensors", "gptq",  "awq",   "fp8",        "modelopt",
    "bitsandbytes",       "mxfp4", "quark", "auto-round", "mxfp8"};
// bitsandbytes quantizes plain weights while they are loaded, and reads none that are quantized.
constexpr std::array<std::string_view, 6> kTgiMethods = {"compressed-tensors", "gptq", "awq", "fp8",
                                                         "fbgemm_fp8",         "exl2"};
constexpr std::array<std::string_view, 6> kTensorRtMethods = {
    "compressed-tensors", "fp8", "modelopt", "mxfp4", "mxfp8", "nvfp4"};

// Schemes of --quantization (TGI: --quantize) that take plain weights; the others of that flag name
// formats of checkpoints. SGLang's lie in srt/arg_groups/choices.py, TGI's in launcher/src/main.rs.
constexpr std::array<std::string_view, 9> kVllmOnline = {"fp8",
                                                         "fp8_per_tensor",
                                                         "fp8_per_block",
                                                         "fp8_per_channel",
                                                         "mxfp8",
                                                         "mxfp4",
                                                         "nvfp4_per_token",
                                                         "experts_int8",
                                                         "int8_per_channel_weight_only"};
constexpr std::array<std::string_view, 13> kSglangOnline = {
    "fp8",          "mxfp8",        "w8a8_fp8",     "bitsandbytes",      "modelopt",
    "modelopt_fp8", "modelopt_fp4", "nvfp4_online", "quark_int4fp8_moe", "quark_mxfp4",
    "humming",      "mlx_q4",       "mlx_q8"};
constexpr std::array<std::string_view, 5> kTgiOnline = {"fp8", "eetq", "bitsandbytes",
                                                        "bitsandbytes-nf4", "bitsandbytes-fp4"};

// The versions are those whose sources and documents were read, or that were run.
constexpr std::array kEngines = {
    EngineRow{Engine::kVllm, "vllm", "vLLM", "0.33.0", kVllmMethods, false, {}, kVllmOnline},
    EngineRow{
        Engine::kSglang, "sglang", "SGLang", "0.5.23", kSglangMethods, true, {}, kSglangOnline},
    EngineRow{Engine::kTgi, "tgi", "TGI", "3.3.7", kTgiMethods, false, {}, kTgiOnline},
    EngineRow{Engine::kTensorRtLlm, "tensorrt-llm", "TensorRT-LLM", "main 008e0af",
              kTensorRtMethods, false},
    EngineRow{Engine::kLlamaCpp, "llama.cpp", "llama.cpp", "2026-10", {}, true, "llama-server"},
    EngineRow{Engine::kOllama, "ollama", "Ollama", "0.33.0-rc2", {}, true},
    EngineRow{Engine::kLmStudio, "lmstudio", "LM Studio", "documents 03123e6", {}, true},
    EngineRow{Engine::kLocalAi, "localai", "LocalAI", "4.9.0", {}, true, {}, {}, "vllm"}};

// Letters and digits, in lower case.
std::string plain_name(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) result += static_cast<char>(std::tolower(byte));
  }
  return result;
}

// "0.9.1.post1" -> 0, 9, 1.
std::vector<int> numbers_of(std::string_view version) {
  if (version.starts_with('v')) version.remove_prefix(1);
  std::vector<int> numbers;
  const char* at = version.data();
  const char* end = at + version.size();
  while (at < end) {
    int number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) break;
    numbers.push_back(number);
    if (next == end || (*next != '.' && *next != '-')) break;
    at = next + 1;
  }
  return numbers;
}

}  // namespace

std::span<const EngineRow> engines() { return kEngines; }

Result<const EngineRow*> find_engine(std::string_view name) {
  std::string known;
  for (const EngineRow& row : kEngines) {
    for (const std::string_view own : {row.name, row.display, row.alias}) {
      if (!own.empty() && plain_name(own) == plain_name(name)) return &row;
    }
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  return fail(usage_error("looking for a serving engine")
                  .got("\"" + std::string(name) + "\"")
                  .expects("one of " + known));
}

bool is_engine_version(std::string_view text) {
  const auto pattern = Regex::compile(
      R"(v?\d+([.-]\d+)*([.-]?(a|b|rc|alpha|beta|post|dev)\.?\d*)*(\+[a-z0-9.]+)?\z)");
  QUANTLANE_CHECK(pattern.has_value());
  return pattern->matches_start(text);
}

bool EngineTarget::is_cpu() const { return device && device->kind == DeviceKind::kCpu; }

bool EngineTarget::is_amd_gpu() const {
  return device && device->kind == DeviceKind::kGpu && device->vendor == "amd";
}

bool EngineTarget::older_than(std::string_view wanted) const {
  return !version.empty() && numbers_of(version) < numbers_of(wanted);
}

namespace {

struct Part {
  std::span<const PreflightRule> rules;
  bool of_schemes = false;  // asked of schemes made while loading, too
};
std::array<Part, 12> parts() {
  return {{{preflight_agreement_rules()},
           {preflight_config_rules()},
           {preflight_shape_rules(), true},
           {preflight_value_rules()},
           {preflight_kv_rules()},
           {preflight_attention_rules()},
           {preflight_kernel_rules(), true},
           {preflight_engine_rules()},
           {preflight_online_rules()},
           {preflight_sglang_rules(), true},
           {preflight_tgi_rules(), true},
           {preflight_tensorrt_llm_rules()}}};
}

}  // namespace

std::vector<const PreflightRule*> preflight_rules() {
  std::vector<const PreflightRule*> all;
  for (const Part& part : parts()) {
    for (const PreflightRule& rule : part.rules) all.push_back(&rule);
  }
  return all;
}

bool concerns(const PreflightRule& rule, const EngineTarget& target) {
  return preflight_parts::has_word(rule.engines, target.engine->name);
}

std::string source_for(const PreflightRule& rule, const EngineRow& engine) {
  std::string own;
  bool wanted = true;  // parts before the first engine are of all
  std::string_view rest = rule.source;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find("; "), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    const auto names = [&](const EngineRow& row) {
      return part.find(row.display) != std::string_view::npos;
    };
    // Parts that name nobody go on with the engine before.
    if (std::ranges::any_of(kEngines, names)) wanted = names(engine);
    if (wanted) own += (own.empty() ? "" : "; ") + std::string(part);
  }
  return own.empty() ? std::string(rule.source) : own;
}

namespace {

PreflightFinding finding_of(const PreflightRule& rule, std::string detail, std::string source) {
  return {.rule = std::string(rule.id),
          .effect = rule.effect,
          .text = std::string(rule.text),
          .detail = std::move(detail),
          .advice = std::string(rule.advice),
          .source = std::move(source)};
}

// The engine that loads the artefact in the end; of which version is not known of another.
EngineTarget loader_of(const ArtefactFacts& facts, EngineTarget target) {
  const std::string_view name = target.engine->folder_engine;
  if (name.empty() || facts.container == "gguf") return target;
  const auto engine = find_engine(name);
  QUANTLANE_CHECK(engine.has_value());
  target.engine = *engine;
  target.version.clear();
  return target;
}

}  // namespace

std::vector<PreflightFinding> find_contradictions(const ArtefactFacts& facts) {
  std::vector<PreflightFinding> findings;
  for (const PreflightRule& rule : preflight_agreement_rules()) {
    const auto detail = rule.finds(facts, EngineTarget{});
    const auto same = [&](const PreflightFinding& finding) { return finding.detail == *detail; };
    if (!detail || std::ranges::any_of(findings, same)) continue;
    findings.push_back(finding_of(rule, *detail, std::string(rule.source)));
  }
  return findings;
}

PreflightAnswer preflight(const ArtefactFacts& facts, const EngineTarget& target) {
  PreflightAnswer answer;
  answer.engine = target.engine->name;
  answer.version = target.version.empty() ? std::string(target.engine->version) : target.version;
  answer.device = target.device ? target.device->name : "";
  answer.tensor_parallel = target.tensor_parallel;
  const EngineTarget loader = loader_of(facts, target);
  const std::optional<ArtefactFacts> made = with_online_schemes(facts, loader);
  for (const Part& part : parts()) {
    for (const PreflightRule& rule : part.rules) {
      if (!concerns(rule, target) && !concerns(rule, loader)) continue;
      ++answer.rules_checked;
      const auto detail = rule.finds(part.of_schemes && made ? *made : facts, loader);
      if (!detail) continue;
      answer.worst = std::max(answer.worst, rule.effect);
      answer.findings.push_back(finding_of(rule, *detail, source_for(rule, *loader.engine)));
    }
  }
  return answer;
}

std::string_view preflight_answer_name(PreflightEffect worst) {
  constexpr std::array<std::string_view, 5> kNames = {
      "loads", "loads with a slower kernel", "cannot be judged",
      "loads but computes something else", "will not load"};
  return kNames[static_cast<std::size_t>(worst)];
}

}  // namespace quantlane
