// llama-server of llama.cpp.
#include "report/deploy/llama_server.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

std::optional<Refusal> cannot_load(const Artefact& artefact) {
  if (artefact.gguf) return std::nullopt;
  return needs_gguf(artefact, "llama.cpp");
}

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  const std::int64_t slots = std::max<std::int64_t>(wishes.concurrency, 1);
  ShellCommand command{.comments = {"Needs llama.cpp. The chat template is the one in the file."},
                       .words = {"llama-server"},
                       .options = {{"--model", artefact.path.string()},
                                   {"--alias", model_slug(artefact.name)},
                                   // The context is shared out among the slots.
                                   {"--ctx-size", fmt::format("{}", wishes.context * slots)},
                                   {"--parallel", fmt::format("{}", slots)}}};
  if (!artefact.chat_template.empty()) command.options.push_back({"--jinja"});
  Deployment deployment{.text = {}, .notices = {}};
  if (artefact.kv_bytes_per_token > 0) {
    deployment.notices.push_back("it will set aside " + kv_note(artefact, wishes));
  }
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back(
        "the artefact has no chat template: use /completion, or add --chat-template-file");
  }
  note_young_types(artefact, deployment.notices);
  deployment.text = command.text();
  return deployment;
}

}  // namespace

constinit const DeployTarget kLlamaServer = {
    .name = "llama-server",
    .product = "llama-server",
    .file_name = "serve.sh",
    .script = true,
    .schema = "llama-server --help, llama.cpp common/arg.cpp",
    .cannot_load = cannot_load,
    .write = write,
};

}  // namespace quantlane
