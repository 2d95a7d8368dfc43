// Text Generation Inference.
#include "report/deploy/tgi.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

// The name that --quantize has for a dialect, empty for what TGI has no loader for.
std::string_view quantize_name(const Artefact& artefact) {
  if (artefact.dialect == "gptq" || artefact.dialect == "awq" || artefact.dialect == "fp8") {
    return artefact.dialect;
  }
  return artefact.dialect == "compressed-tensors" ? "compressed-tensors" : "";
}

std::optional<Refusal> cannot_load(const Artefact& artefact) {
  if (artefact.gguf) return needs_folder(artefact, "TGI");
  if (artefact.dialect.empty()) return std::nullopt;
  if (quantize_name(artefact).empty()) {
    return Refusal{.expected = "GPTQ, AWQ, native FP8 or compressed-tensors, which TGI loads",
                   .found = artefact.dialect,
                   .advice = "make a lane that it loads: fp8, w8a8, w4a16"};
  }
  for (const LinearScheme& scheme : artefact.schemes) {
    if (scheme.weight.type == ValueType::kFloat && scheme.weight.bits == 4) {
      return Refusal{.expected = "FP8, INT8 or INT4 weights, which TGI has kernels for",
                     .found = scheme.weight.spelling(),
                     .advice = "make a lane that it loads: fp8, w8a8, w4a16"};
    }
    if (!scheme.weight.symmetric && artefact.dialect != "awq") {
      return Refusal{.expected = "symmetric weights, or asymmetric ones stored as AWQ",
                     .found = scheme.weight.spelling() + " stored as " + artefact.dialect,
                     .advice = "make a symmetric lane: w4a16"};
    }
  }
  return std::nullopt;
}

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  ShellCommand command{
      .comments = {"Needs Text Generation Inference. For N GPUs add: --num-shard N"},
      .words = {"text-generation-launcher"},
      .options = {
          {"--model-id", artefact.path.string()},
          // A request is its prompt and the answer; one token is left for that.
          {"--max-input-tokens", fmt::format("{}", std::max<std::int64_t>(wishes.context - 1, 1))},
          {"--max-total-tokens", fmt::format("{}", wishes.context)}}};
  if (!artefact.dialect.empty()) {
    command.options.push_back({"--quantize", std::string(quantize_name(artefact))});
  }
  if (wishes.concurrency > 0) {
    command.options.push_back({"--max-concurrent-requests", fmt::format("{}", wishes.concurrency)});
  }
  Deployment deployment{.text = command.text(), .notices = {}};
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back(
        "the artefact has no chat template: only /generate works, not the chat endpoint");
  }
  return deployment;
}

}  // namespace

constinit const DeployTarget kTgi = {
    .name = "tgi",
    .product = "TGI",
    .file_name = "serve.sh",
    .script = true,
    .schema = "text-generation-launcher arguments, text-generation-inference docs",
    .cannot_load = cannot_load,
    .write = write,
};

}  // namespace quantlane
