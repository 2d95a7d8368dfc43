// LocalAI's model configuration: llama.cpp behind it for GGUF, vLLM for folders.
#include "report/deploy/localai.h"

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

// llama.cpp takes every GGUF file, split or not; of folders vLLM's rules say the rest.
std::optional<Refusal> cannot_load(const Artefact& artefact) {
  if (!artefact.gguf && artefact.architecture.empty()) {
    return Refusal{.expected = "a folder whose config.json names the model's class",
                   .found = "no architectures key",
                   .advice = "add it, as in the original checkpoint"};
  }
  return std::nullopt;
}

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  Json document = Json::object({{"name", model_slug(artefact.name)},
                                {"backend", artefact.gguf ? "llama-cpp" : "vllm"},
                                {"parameters", Json::object({{"model", artefact.path.string()}})},
                                {"context_size", wishes.context}});
  if (!artefact.gguf) document.set("max_model_len", wishes.context);
  Deployment deployment;
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back(
        "the artefact has no chat template: add template.chat before you use the chat endpoint");
  } else {
    document.set("template", Json::object({{"use_tokenizer_template", true}}));
  }
  Json options = Json::array();
  if (artefact.gguf && !artefact.chat_template.empty()) options.push("use_jinja:true");
  if (artefact.gguf && wishes.concurrency > 0) {
    options.push(fmt::format("parallel:{}", wishes.concurrency));
  }
  if (!options.items().empty()) document.set("options", std::move(options));
  if (!artefact.stop_texts.empty()) {
    Json stops = Json::array();
    for (const std::string& stop : artefact.stop_texts) stops.push(stop);
    document.set("stopwords", std::move(stops));
  }
  document.set("known_usecases", Json::array().push("chat").push("completion"));
  deployment.text = yaml_text(document);
  deployment.notices.push_back(
      fmt::format("put the file and the model into LocalAI's models folder, or start it with "
                  "--models-path {}",
                  shell_word(artefact.path.parent_path().string())));
  if (artefact.gguf) note_young_types(artefact, deployment.notices);
  return deployment;
}

}  // namespace

constinit const DeployTarget kLocalAi = {
    .name = "localai",
    .product = "LocalAI",
    .file_name = "localai.yaml",
    .script = false,
    .schema = "Model Configuration, LocalAI docs/content/advanced/model-configuration.md",
    .cannot_load = cannot_load,
    .folder_engine = "vllm",
    .write = write,
};

}  // namespace quantlane
