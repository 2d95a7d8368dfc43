// SGLang.
#include "report/deploy/sglang.h"

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  ShellCommand command{.comments = {"Needs SGLang. For N GPUs add: --tp-size N"},
                       .words = {"python3", "-m", "sglang.launch_server"},
                       .options = {{"--model-path", artefact.path.string()},
                                   {"--served-model-name", model_slug(artefact.name)},
                                   {"--context-length", fmt::format("{}", wishes.context)}}};
  Deployment deployment;
  if (artefact.gguf) {
    command.options.push_back({"--load-format", "gguf"});
    command.options.push_back({"--quantization", "gguf"});
    deployment.notices.emplace_back(
        "SGLang decodes GGUF blocks as it goes: a folder (fp8, w4a16) is several times faster");
  } else if (artefact.dialect == "modelopt") {
    // The one dialect that is not detected.
    const bool fp4 = !artefact.types.empty() && artefact.types.front() == "nvfp4";
    command.options.push_back({"--quantization", fp4 ? "modelopt_fp4" : "modelopt_fp8"});
  }
  if (artefact.kv_scheme == "fp8") command.options.push_back({"--kv-cache-dtype", "fp8_e4m3"});
  if (wishes.concurrency > 0) {
    command.options.push_back({"--max-running-requests", fmt::format("{}", wishes.concurrency)});
  }
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back(
        "the artefact has no chat template: the chat endpoint needs --chat-template");
  }
  deployment.text = command.text();
  return deployment;
}

}  // namespace

constinit const DeployTarget kSglang = {
    .name = "sglang",
    .product = "SGLang",
    .file_name = "serve.sh",
    .script = true,
    .schema = "Server arguments, docs.sglang.io",
    .cannot_load = nullptr,
    .write = write,
};

}  // namespace quantlane
