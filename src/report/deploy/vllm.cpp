// vLLM.
#include "report/deploy/vllm.h"

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  ShellCommand command{
      .comments = {"Needs vLLM. How the weights are quantized is read from the folder: no",
                   "--quantization. For N GPUs add: --tensor-parallel-size N"},
      .words = {"vllm", "serve", artefact.path.string()},
      .options = {{"--served-model-name", model_slug(artefact.name)},
                  {"--max-model-len", fmt::format("{}", wishes.context)}}};
  // The engine takes the scheme of the checkpoint by itself; here it stands to be seen.
  if (artefact.kv_scheme.starts_with("fp8")) command.options.push_back({"--kv-cache-dtype", "fp8"});
  if (wishes.concurrency > 0) {
    command.options.push_back({"--max-num-seqs", fmt::format("{}", wishes.concurrency)});
  }
  Deployment deployment{.text = command.text(), .notices = {}};
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back(
        "the artefact has no chat template: the chat endpoint needs --chat-template FILE");
  }
  return deployment;
}

}  // namespace

constinit const DeployTarget kVllm = {
    .name = "vllm",
    .product = "vLLM",
    .file_name = "serve.sh",
    .script = true,
    .schema = "Engine arguments of vllm serve, docs.vllm.ai",
    .cannot_load = nullptr,
    .write = write,
};

}  // namespace quantlane
