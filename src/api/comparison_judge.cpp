// The judging stage of compare(): gates, projection to the target, the pick.
#include <algorithm>
#include <utility>

#include "api/comparison.h"
#include "api/lane_facts_of.h"
#include "bench/machine.h"
#include "core/check.h"
#include "core/cpu.h"
#include "core/file.h"
#include "core/output_path.h"
#include "quantize/output_place.h"
#include "recommend/pick.h"
#include "recommend/throughput_model.h"
#include "recommend/verdict.h"

namespace quantlane {
namespace {

Result<Device> target_device(const std::string& name, ThreadPool& pool) {
  if (name != kThisMachine) return find_device(name);
  const MachineRates rates = measure_machine(pool);
  return this_machine(cpu_info(),
                      {.bandwidth = rates.bandwidth, .flops = rates.f32_flops, .int8_ops = 0});
}

}  // namespace

Result<void> Comparison::check_request() const {
  if (options_.concurrency < 1) {
    return fail(usage_error("choosing the workload")
                    .expects("a concurrency of at least 1")
                    .got(std::to_string(options_.concurrency)));
  }
  if (options_.out.empty()) {
    return fail(usage_error("choosing the output folder").expects("a path").got("an empty one"));
  }
  const InputPath inputs[] = {
      {.name = "the checkpoint", .path = options_.checkpoint, .whole = true},
      {.name = "--text", .path = options_.text.value_or("")},
      {.name = "--calibration-text", .path = options_.calibration_text.value_or("")},
      {.name = "--imatrix", .path = options_.imatrix.value_or("")},
      {.name = "--adapter", .path = options_.adapter.value_or("")},
      {.name = "--workload", .path = options_.workload.value_or("")}};
  for (const char* made : {"artifacts", "work", "report.json", "report.html"}) {
    QUANTLANE_TRY_VOID(check_apart(options_.out / made, inputs));
  }
  for (const std::string& name : options_.kv) {
    if (auto scheme = find_kv_scheme(name); !scheme) {
      Error error = std::move(scheme).error();
      if (name == "none")
        error.hint = "leave it out: a float cache is what every scheme is measured against";
      return fail(std::move(error));
    }
    if (std::ranges::count(options_.kv, name) > 1) {
      return fail(usage_error("choosing key-value caches")
                      .of("--kv")
                      .expects("every scheme once")
                      .got(name + " twice"));
    }
  }
  QUANTLANE_TRY_VOID(check_writable(options_.out / "report.json"));
  if (const auto margins = margins_in_force(options_.margins); !margins)
    return std::unexpected(margins.error());
  if (options_.target == kThisMachine) return {};
  if (const auto device = find_device(options_.target); !device)
    return std::unexpected(device.error());
  return {};
}

// Artefacts of earlier runs may lie where this one writes, if it does not write there. What others
// put into those that are made again stays.
Result<void> Comparison::check_artefacts() const {
  std::vector<InputPath> inputs;
  for (const LaneWork& work : lanes_) {
    if (work.existing) inputs.push_back({.name = work.report.name, .path = work.report.artifact});
  }
  for (const LaneWork& work : lanes_) {
    if (work.existing) continue;
    QUANTLANE_TRY_VOID(check_apart(work.report.artifact, inputs));
    if (options_.fresh) QUANTLANE_TRY_VOID(check_output(work.report.artifact, true));
  }
  return {};
}

Result<void> Comparison::judge() {
  QUANTLANE_TRY(const Margins margins, margins_in_force(options_.margins));
  report_.margins = margins;
  QUANTLANE_TRY(Device device, target_device(options_.target, pool_));
  PickInputs inputs{.situation = {.device = std::move(device),
                                  .model = model_facts_of(*reference_),
                                  .workload = workload_of(context_, options_.concurrency),
                                  .reference = reference_facts_of(*reference_),
                                  .lanes = {}},
                    .measured_here = options_.target == kThisMachine};
  const Situation& situation = inputs.situation;
  for (LaneWork& work : lanes_) {
    inputs.situation.lanes.push_back(work.facts);
    const Judgement judgement =
        quantlane::judge(work.report.quality, report_.tokens_scored, margins);
    work.report.verdict = judgement.verdict;
    work.report.axes = judgement.axes;
    if (!inputs.measured_here) {
      work.report.projection =
          project(situation.model, work.facts, situation.device, situation.workload);
    }
    report_.lanes.push_back(work.report);
  }
  if (!inputs.measured_here) {
    report_.reference.projection =
        project(situation.model, situation.reference, situation.device, situation.workload);
  }
  for (KvReport& kv : report_.kv) {
    kv.axis = judge_kv(kv.divergence, report_.tokens_scored, margins);
  }
  report_.pick = pick(report_, inputs);
  return {};
}

}  // namespace quantlane
