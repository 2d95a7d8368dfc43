#include "recommend/candidates.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "recommend/memory_model.h"
#include "recommend/throughput_model.h"
#include "recommend/verdict.h"

namespace quantlane {
namespace {

// Lanes this close to the fastest cost the same, and the smaller one is better: projections differ
// by less only through rounding, times of a quiet machine from one run to the next. Where rounds
// differed by more, their spread takes the place of this factor.
constexpr double kSameProjected = 1.03;
constexpr double kSameMeasured = 1.1;

// Every request in turn at the measured rates.
double measured_seconds(const Speed& speed, const Workload& workload) {
  if (speed.prefill_tok_s <= 0 || speed.decode_tok_s <= 0) {
    return std::numeric_limits<double>::infinity();
  }
  const double one = static_cast<double>(workload.prompt_tokens) / speed.prefill_tok_s +
                     static_cast<double>(workload.output_tokens) / speed.decode_tok_s;
  return one * static_cast<double>(workload.concurrency);
}

Candidate candidate(const PickInputs& inputs, const LaneFacts& facts, const LaneReport* report,
                    const Speed& speed) {
  const Situation& situation = inputs.situation;
  Candidate result;
  result.report = report;
  result.facts = facts;
  result.may_ship = report == nullptr || report->verdict == Verdict::kShip;
  result.rules = rules_for(situation, facts);
  result.usable = true;
  for (const Rule* rule : result.rules) {
    result.usable = result.usable && rule->effect != Effect::kExclude;
    result.deferrals += rule->effect == Effect::kDefer && !rule->prior;
  }
  // Decoding to float as it goes, this runtime shows what a lane loses, not what an engine made for
  // the lane gains; so here the reference comes after every lane that ships.
  result.deferrals += inputs.measured_here && report == nullptr ? 1 : 0;
  result.noise = inputs.measured_here ? speed.spread : 0;
  result.same_time = inputs.measured_here ? kSameMeasured : kSameProjected;
  result.projection = project(situation.model, facts, situation.device, situation.workload);
  result.fits = result.projection.fits;
  result.memory_bytes = result.projection.memory_bytes;
  result.seconds = inputs.measured_here ? measured_seconds(speed, situation.workload)
                                        : workload_seconds(situation.model, facts, situation.device,
                                                           situation.workload);
  return result;
}

}  // namespace

std::string candidate_name(const Candidate& candidate) {
  return candidate.report == nullptr ? "reference" : candidate.report->name;
}

double strictest_margin(const AxisVerdict& axis) { return axis.unit == "ratio" ? 1 : 0; }

const AxisVerdict* closest_gate(const LaneReport& lane) {
  const AxisVerdict* closest = nullptr;
  double most_used = -std::numeric_limits<double>::infinity();
  for (const AxisVerdict& axis : lane.axes) {
    if (!axis.gates) continue;
    const double least = strictest_margin(axis);
    const double used = (ships_above(axis) - least) / std::max(axis.margin - least, 1e-12);
    if (closest != nullptr && used <= most_used) continue;
    most_used = used;
    closest = &axis;
  }
  return closest;
}

std::vector<Candidate> candidates(const CompareReport& report, const PickInputs& inputs) {
  const Situation& situation = inputs.situation;
  std::vector<Candidate> all = {
      candidate(inputs, situation.reference, nullptr, report.reference.speed)};
  for (const LaneReport& lane : report.lanes) {
    const auto facts =
        std::find_if(situation.lanes.begin(), situation.lanes.end(),
                     [&](const LaneFacts& known) { return known.name == lane.name; });
    if (facts != situation.lanes.end()) {
      all.push_back(candidate(inputs, *facts, &lane, lane.speed));
    }
  }
  return all;
}

const Candidate* choose(const std::vector<Candidate>& all, std::string_view also) {
  const auto takes_part = [&](const Candidate& c) {
    return c.usable && (c.may_ship || candidate_name(c) == also);
  };
  const Candidate* fastest = nullptr;
  for (const Candidate& c : all) {
    if (!takes_part(c)) continue;
    if (fastest == nullptr ||
        std::tuple(c.deferrals, c.seconds) < std::tuple(fastest->deferrals, fastest->seconds)) {
      fastest = &c;
    }
  }
  const Candidate* best = nullptr;
  for (const Candidate& c : all) {
    if (!takes_part(c) || c.deferrals != fastest->deferrals) continue;
    const double same = std::max(c.same_time, 1 + c.noise + fastest->noise);
    if (c.seconds > same * fastest->seconds) continue;
    if (best == nullptr || c.memory_bytes < best->memory_bytes) best = &c;
  }
  return best;
}

}  // namespace quantlane
