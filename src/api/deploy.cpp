#include "quantlane/deploy.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "api/json_lists.h"
#include "api/plain_output.h"
#include "api/preflight.h"
#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "core/output_path.h"
#include "recommend/preflight.h"
#include "report/deploy/deploy.h"

namespace quantlane {
namespace {

Result<const DeployTarget*> find_target(const std::string& name) {
  if (const DeployTarget* target = deploy_target_by_name(name)) return target;
  // The names of inspect --engine: "llama.cpp", "LM Studio".
  const auto engine = find_engine(name);
  std::string names;
  for (const DeployTarget* target : deploy_targets()) {
    const auto own = find_engine(target->name);
    if (engine && own && *engine == *own) return target;
    names += (names.empty() ? "" : ", ") + std::string(target->name);
  }
  return fail(usage_error("choosing a product")
                  .expects("--for one of " + names)
                  .got(name.empty() ? "nothing" : name));
}

// The engines whose rules say what they load (docs/preflight.md), or that load folders for the
// product; other products have their own checks. Notices of what loads with a slower kernel, or
// cannot be judged.
Result<std::vector<std::string>> ask_engine(const fs::path& artefact, const DeployTarget& target) {
  const bool own_checks = target.cannot_load != nullptr;
  if (own_checks && target.folder_engine.empty()) return std::vector<std::string>();
  QUANTLANE_TRY(const ArtefactFacts facts, read_artefact_facts(artefact, true));
  if (own_checks && facts.container == "gguf") return std::vector<std::string>();
  const std::string_view name = own_checks ? target.folder_engine : target.name;
  QUANTLANE_TRY(const EngineTarget engine, engine_target(std::string(name), "", 1, ""));
  const PreflightAnswer answer = preflight(facts, engine);
  if (answer.usable() || answer.worst == PreflightEffect::kUnknown) {
    return preflight_notices(answer, PreflightEffect::kSlow);
  }
  return fail(preflight_error("writing files for " + std::string(target.product), answer)
                  .in(artefact.string()));
}

Result<void> check_target_file(const fs::path& file, const DeployTarget& target, bool force) {
  QUANTLANE_TRY(const bool taken, check_vacant(file, force, "-o"));
  return taken ? check_replaceable(file, deploy_header(target)) : check_writable(file);
}

Result<void> write_target_file(const fs::path& file, const DeployTarget& target,
                               const std::string& text, bool force) {
  QUANTLANE_TRY_VOID(write_text(file, text, replaceable(force, deploy_header(target))));
  if (!target.script) return {};
  std::error_code code;
  fs::permissions(file, fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec,
                  fs::perm_options::add, code);
  if (code)
    return fail(io_error("making a script executable").in(file.string()).got(code.message()));
  return {};
}

}  // namespace

Result<DeployResult> make_deployment(const DeployOptions& asked) {
  const DeployOptions options = with_plain_output(asked);
  QUANTLANE_TRY(const DeployTarget* target, find_target(options.target));
  QUANTLANE_TRY(std::vector<std::string> notices, ask_engine(options.artefact, *target));
  QUANTLANE_TRY(const auto checkpoint, Checkpoint::open_any(options.artefact));
  QUANTLANE_TRY(const Artefact artefact, describe_artefact(*checkpoint));
  QUANTLANE_TRY(
      Deployment deployment,
      deploy(*target, artefact, {.context = options.context, .concurrency = options.concurrency}));
  DeployResult result{.target = std::string(target->name),
                      .product = std::string(target->product),
                      .file_name = std::string(target->file_name),
                      .file = {},
                      .text = std::move(deployment.text),
                      .schema = std::string(target->schema),
                      .notices = std::move(notices)};
  std::ranges::move(deployment.notices, std::back_inserter(result.notices));
  if (options.out.empty()) return result;
  const fs::path file = options.out / target->file_name;
  const InputPath artefact_path{.name = "the artefact", .path = options.artefact};
  QUANTLANE_TRY_VOID(check_apart(file, std::span(&artefact_path, 1)));
  QUANTLANE_TRY_VOID(check_target_file(file, *target, options.force));
  QUANTLANE_TRY_VOID(write_target_file(file, *target, result.text, options.force));
  result.file = file;
  return result;
}

std::string to_json(const DeployResult& result) {
  return Json::object({{"target", result.target},
                       {"product", result.product},
                       {"file_name", result.file_name},
                       {"file", result.file.string()},
                       {"text", result.text},
                       {"schema", result.schema},
                       {"notices", json_of(result.notices)}})
      .dump(2);
}

std::vector<DeployTargetName> list_deploy_targets() {
  std::vector<DeployTargetName> names;
  for (const DeployTarget* target : deploy_targets()) {
    names.push_back({.name = std::string(target->name),
                     .product = std::string(target->product),
                     .file_name = std::string(target->file_name)});
  }
  return names;
}

}  // namespace quantlane
