// LM Studio's model.yaml, a virtual model over the GGUF file.
#include "report/deploy/lm_studio.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

std::optional<Refusal> cannot_load(const Artefact& artefact) {
  if (artefact.gguf) return std::nullopt;
  return needs_gguf(artefact, "LM Studio");
}

// "135M", "8.03B".
std::string parameter_text(std::uint64_t parameters) {
  const auto count = static_cast<double>(parameters);
  return count >= 1e9 ? fmt::format("{:.3g}B", count / 1e9) : fmt::format("{:.3g}M", count / 1e6);
}

Json field(std::string_view key, Json value) {
  return Json::object({{"key", key}, {"value", std::move(value)}});
}

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  const std::string slug = model_slug(artefact.name);
  const std::string key = "local/" + slug + "-gguf";
  const auto requests = static_cast<std::uint64_t>(std::max<std::int64_t>(wishes.concurrency, 1));
  const std::uint64_t memory =
      artefact.size_bytes +
      artefact.kv_bytes_per_token * static_cast<std::uint64_t>(wishes.context) * requests;
  Json load = Json::array();
  load.push(field("llm.load.contextLength", wishes.context));
  if (wishes.concurrency > 0) load.push(field("llm.load.numParallelSessions", wishes.concurrency));
  Json config = Json::object({{"load", Json::object({{"fields", std::move(load)}})}});
  if (!artefact.stop_texts.empty()) {
    Json stops = Json::array();
    for (const std::string& stop : artefact.stop_texts) stops.push(stop);
    Json operation = Json::array();
    operation.push(field("llm.prediction.stopStrings", std::move(stops)));
    config.set("operation", Json::object({{"fields", std::move(operation)}}));
  }
  const Json document = Json::object(
      {{"model", "local/" + slug},
       // A local file is found by its key; there is nowhere to download it from.
       {"base", Json::array().push(Json::object({{"key", key}, {"sources", Json::array()}}))},
       {"metadataOverrides",
        Json::object({{"domain", "llm"},
                      {"architectures", Json::array().push(artefact.architecture)},
                      {"compatibilityTypes", Json::array().push("gguf")},
                      {"paramsStrings", Json::array().push(parameter_text(artefact.parameters))},
                      {"minMemoryUsageBytes", memory},
                      {"contextLengths",
                       Json::array().push(artefact.context_length > 0 ? artefact.context_length
                                                                      : wishes.context)}})},
       {"config", std::move(config)}});
  Deployment deployment{
      .text = "# model.yaml (draft specification of modelyaml.org)\n" + yaml_text(document),
      .notices = {}};
  deployment.notices.push_back(
      fmt::format("make the file known to LM Studio: lms import {} "
                  "--symbolic-link --user-repo {}",
                  shell_word(artefact.path.string()), key));
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back("the artefact has no chat template: choose one in LM Studio");
  }
  note_young_types(artefact, deployment.notices);
  return deployment;
}

}  // namespace

constinit const DeployTarget kLmStudio = {
    .name = "lmstudio",
    .product = "LM Studio",
    .file_name = "model.yaml",
    .script = false,
    .schema =
        "Introduction to model.yaml, lmstudio-ai/docs; virtualModelDefinitionSchema of lmstudio.js",
    .cannot_load = cannot_load,
    .write = write,
};

}  // namespace quantlane
