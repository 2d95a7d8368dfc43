// TensorRT-LLM, its PyTorch backend (trtllm-serve).
#include "report/deploy/tensorrt_llm.h"

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  ShellCommand command{
      .comments = {"Needs TensorRT-LLM 1.x. For N GPUs add: --tp_size N"},
      .words = {"trtllm-serve", artefact.path.string()},
      .options = {{"--backend", "pytorch"}, {"--max_seq_len", fmt::format("{}", wishes.context)}}};
  if (wishes.concurrency > 0) {
    command.options.push_back({"--max_batch_size", fmt::format("{}", wishes.concurrency)});
  }
  Deployment deployment{.text = command.text(), .notices = {}};
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back(
        "the artefact has no chat template: only /v1/completions works");
  }
  return deployment;
}

}  // namespace

constinit const DeployTarget kTensorRtLlm = {
    .name = "tensorrt-llm",
    .product = "TensorRT-LLM",
    .file_name = "serve.sh",
    .script = true,
    .schema = "trtllm-serve, nvidia.github.io/TensorRT-LLM",
    .cannot_load = nullptr,
    .write = write,
};

}  // namespace quantlane
