#include "api/preflight.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/cpu.h"
#include "core/json.h"

namespace quantlane {
namespace {

Result<Device> device_named(const std::string& name) {
  if (name != kThisMachine) return find_device(name);
  return this_machine(cpu_info(), {});
}

std::string place_of(const PreflightAnswer& answer) {
  std::string text = answer.engine;
  if (!answer.device.empty()) text += " on " + answer.device;
  if (answer.tensor_parallel > 1) text += ", " + std::to_string(answer.tensor_parallel) + " ranks";
  return text;
}

}  // namespace

Result<EngineTarget> engine_target(const std::string& engine, const std::string& gpu,
                                   std::int64_t tensor_parallel, const std::string& version) {
  EngineTarget target;
  QUANTLANE_TRY(target.engine, find_engine(engine));
  if (!gpu.empty()) {
    QUANTLANE_TRY(target.device, device_named(gpu));
  }
  if (tensor_parallel < 1) {
    return fail(usage_error("choosing the ranks of tensor parallelism")
                    .expects("at least 1")
                    .got(std::to_string(tensor_parallel)));
  }
  if (!version.empty() && !is_engine_version(version)) {
    return fail(usage_error("choosing the version of " + std::string(target.engine->display))
                    .expects("numbers joined by dots, as in 0.9.1, v0.11.0rc2 or " +
                             std::string(target.engine->version))
                    .got("\"" + version + "\""));
  }
  target.tensor_parallel = tensor_parallel;
  target.version = version;
  return target;
}

Result<std::vector<EngineTarget>> targets_of_lane(const Lane& lane, const std::string& gpu,
                                                  std::int64_t tensor_parallel) {
  std::vector<EngineTarget> targets;
  for (const EngineRow& row : engines()) {
    const bool meant = lane.engines == "any" ? !row.methods.empty()
                                             : lane.engines.find(row.display) != std::string::npos;
    if (!meant) continue;
    QUANTLANE_TRY(EngineTarget target,
                  engine_target(std::string(row.name), gpu, tensor_parallel, ""));
    targets.push_back(std::move(target));
  }
  return targets;
}

Result<ArtefactFacts> planned_facts(const ArtefactPlan& plan) {
  if (!plan.config.is_null()) return planned_artefact_facts(plan.config, plan.tensors);
  ArtefactFacts facts;
  facts.container = "gguf";
  facts.files = plan.files;
  return facts;
}

Result<PreflightAnswer> preflight_plan(const ArtefactPlan& plan, const EngineTarget& target) {
  QUANTLANE_TRY(const ArtefactFacts facts, planned_facts(plan));
  return preflight(facts, target);
}

std::vector<std::string> preflight_notices(const PreflightAnswer& answer, PreflightEffect least) {
  std::vector<std::string> notices;
  for (const PreflightFinding& finding : answer.findings) {
    if (finding.effect < least) continue;
    notices.push_back(place_of(answer) + ": " + std::string(preflight_answer_name(finding.effect)) +
                      ": " + finding.text + " (" + finding.detail + ") [" + finding.rule + "]");
  }
  return notices;
}

std::optional<Error> refusal_of_lane(const Checkpoint& checkpoint, const Lane& lane,
                                     const EngineTarget& target) {
  if (lane.dialect == nullptr || lane.dialect->writer == nullptr || checkpoint.graph() == nullptr) {
    return std::nullopt;
  }
  LinearScheme scheme = lane.scheme;
  lane.dialect->writer->complete(scheme, checkpoint.model_dtype());
  ArtefactFacts facts;
  facts.container = "safetensors";
  facts.dialect = lane.dialect->name;
  facts.config = checkpoint.config_json();
  facts.dtype = checkpoint.model_dtype();
  facts.quantization = lane.dialect->writer->write_config(scheme, {});
  facts.method = facts.quantization["quant_method"].string();
  for (const Parameter& parameter : checkpoint.graph()->parameters) {
    if (!is_block_linear(parameter.role)) continue;
    facts.linears.push_back({.module = std::string(parameter.module()),
                             .rows = parameter.rows,
                             .cols = parameter.cols,
                             .scheme = scheme});
  }
  const PreflightAnswer answer = preflight(facts, target);
  if (answer.usable()) return std::nullopt;
  return preflight_error("quantizing to " + lane.name, answer);
}

Error preflight_error(const std::string& attempted, const PreflightAnswer& answer) {
  const auto worst = std::ranges::max_element(answer.findings, {}, &PreflightFinding::effect);
  QUANTLANE_CHECK(worst != answer.findings.end());
  return make_error(ErrorCode::kInfeasible, attempted)
      .of("rule " + worst->rule)
      .expects("an artefact that " + place_of(answer) + " loads")
      .got(std::string(preflight_answer_name(worst->effect)) + ": " + worst->text + "; " +
           worst->detail)
      .advise((worst->advice.empty() ? "take another lane or engine" : worst->advice) +
              " (source: " + worst->source + ")");
}

Result<PreflightAnswer> check_engine(const PreflightOptions& options) {
  QUANTLANE_TRY(
      EngineTarget target,
      engine_target(options.engine, options.gpu, options.tensor_parallel, options.engine_version));
  target.online = options.online;
  QUANTLANE_TRY(const ArtefactFacts facts,
                read_artefact_facts(options.checkpoint, options.read_values));
  return preflight(facts, target);
}

std::string to_json(const PreflightAnswer& answer) {
  Json findings = Json::array();
  for (const PreflightFinding& finding : answer.findings) {
    findings.push(Json::object({{"rule", finding.rule},
                                {"answer", preflight_answer_name(finding.effect)},
                                {"text", finding.text},
                                {"detail", finding.detail},
                                {"advice", finding.advice},
                                {"source", finding.source}}));
  }
  return Json::object({{"engine", answer.engine},
                       {"engine_version", answer.version},
                       {"device", answer.device},
                       {"tensor_parallel", answer.tensor_parallel},
                       {"answer", preflight_answer_name(answer.worst)},
                       {"usable", answer.usable()},
                       {"rules_checked", answer.rules_checked},
                       {"findings", std::move(findings)}})
      .dump(2);
}

}  // namespace quantlane
