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
    .cannot_load = nullptr,
    .write = write,
};

}  // namespace quantlane
