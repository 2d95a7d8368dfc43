// The table of targets, and what holds for all of them.
#include <array>

#include "core/check.h"
#include "report/deploy/deploy.h"
#include "report/deploy/llama_server.h"
#include "report/deploy/lm_studio.h"
#include "report/deploy/localai.h"
#include "report/deploy/ollama.h"
#include "report/deploy/sglang.h"
#include "report/deploy/tensorrt_llm.h"
#include "report/deploy/tgi.h"
#include "report/deploy/vllm.h"

namespace quantlane {
namespace {
constinit const std::array kTargets = {&kOllama, &kLmStudio, &kLocalAi, &kLlamaServer,
                                       &kVllm,   &kSglang,   &kTgi,     &kTensorRtLlm};
}  // namespace

std::span<const DeployTarget* const> deploy_targets() { return kTargets; }

const DeployTarget* deploy_target_by_name(std::string_view name) {
  for (const DeployTarget* target : kTargets) {
    if (target->name == name) return target;
  }
  return nullptr;
}

Result<Deployment> deploy(const DeployTarget& target, const Artefact& artefact,
                          DeployWishes wishes) {
  const std::string attempted = "writing files for " + std::string(target.product);
  const auto refusal = target.cannot_load == nullptr ? std::nullopt : target.cannot_load(artefact);
  if (refusal) {
    return fail(make_error(ErrorCode::kInfeasible, attempted)
                    .in(artefact.path.string())
                    .expects(refusal->expected)
                    .got(refusal->found)
                    .advise(refusal->advice));
  }
  if (wishes.context < 0 || wishes.concurrency < 0) {
    return fail(usage_error(attempted).expects("a positive context and concurrency"));
  }
  if (artefact.context_length > 0 && wishes.context > artefact.context_length) {
    return fail(usage_error(attempted)
                    .in(artefact.path.string())
                    .expects("a context of at most " + std::to_string(artefact.context_length) +
                             " tokens, what the model was made for")
                    .got(std::to_string(wishes.context)));
  }
  if (wishes.context == 0) wishes.context = artefact.context_length;
  if (wishes.context == 0) {
    return fail(usage_error(attempted)
                    .in(artefact.path.string())
                    .expects("--context N: the artefact does not say how long its context is"));
  }
  Deployment deployment = target.write(artefact, wishes);
  deployment.text.insert(0, deploy_header(target));
  return deployment;
}

std::string deploy_header(const DeployTarget& target) {
  return std::string(target.script ? "#!/bin/sh\n" : "") + "# quantlane deploy --for " +
         std::string(target.name) + "\n";
}

}  // namespace quantlane
