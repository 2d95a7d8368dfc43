#include "recommend/pick.h"

#include <algorithm>

#include <fmt/format.h>

#include "recommend/candidates.h"
#include "recommend/verdict.h"

namespace quantlane {
namespace {

// Spread between rounds of timing above which the reader is warned.
constexpr double kNoisy = 0.15;

std::string gigabytes(double bytes) {
  return bytes < 1e9 ? fmt::format("{:.0f} MB", bytes / 1e6)
                     : fmt::format("{:.1f} GB", bytes / 1e9);
}

// "kld 0.131 of 0.1, tasks 3.2 of 2 points": gating axes that do not ship.
std::string failed_axes(const LaneReport& lane, Verdict verdict) {
  std::string text;
  for (const AxisVerdict& axis : lane.axes) {
    if (!axis.gates || axis.verdict != verdict) continue;
    text += fmt::format("{}{} {:.3g} against {:.3g} {}", text.empty() ? "" : ", ", axis.axis,
                        axis.estimate.value, axis.margin, axis.unit);
  }
  return text.empty() ? "no gate was measured" : text;
}

// Why a candidate was passed over although it would cost less, or could not take part.
Reason rejection(const Candidate& c) {
  const std::string name = candidate_name(c);
  for (const Rule* rule : c.rules) {
    if (rule->effect != Effect::kExclude) continue;
    return {.code = std::string(rule->code), .text = fmt::format("{}: {}", name, rule->text)};
  }
  if (!c.may_ship && c.report->verdict == Verdict::kDoNotShip) {
    return {.code = "GATE_FAILED",
            .text = fmt::format("{} does not ship: {}", name,
                                failed_axes(*c.report, Verdict::kDoNotShip))};
  }
  if (!c.may_ship) {
    return {.code = "NOT_PROVEN",
            .text = fmt::format("{} is not proven: {}", name,
                                failed_axes(*c.report, Verdict::kInconclusive))};
  }
  for (const Rule* rule : c.rules) {
    if (rule->effect != Effect::kDefer || rule->prior) continue;
    return {.code = std::string(rule->code), .text = fmt::format("{}: {}", name, rule->text)};
  }
  if (c.report == nullptr && c.deferrals > 0) {
    return {.code = "LANE_SHIPS",
            .text =
                "the reference is kept only when no lane may ship; speeds measured here are "
                "those of a runtime that decodes quantized weights to float"};
  }
  return {.code = "SLOWER", .text = fmt::format("{} takes longer", name)};
}

Reason quality_reason(const Candidate& winner) {
  const AxisVerdict* closest = closest_gate(*winner.report);
  if (closest == nullptr) return {.code = "MAY_SHIP", .text = "its verdict is ship"};
  return {
      .code = "PASSES_GATES",
      .text = fmt::format("every gate is proven; closest: {} at most {:.3g} of {:.3g} {}",
                          closest->axis, ships_above(*closest), closest->margin, closest->unit)};
}

Reason cost_reason(const Candidate& winner, const Candidate& reference, const PickInputs& inputs) {
  const Workload& workload = inputs.situation.workload;
  const std::string against = reference.usable && winner.report != nullptr
                                  ? fmt::format(", {:.2f} times the speed of the reference",
                                                reference.seconds / winner.seconds)
                                  : "";
  return {.code = inputs.measured_here ? "MEASURED_COST" : "PROJECTED_COST",
          .text = fmt::format(
              "{} for {} request{} of {} tokens in and {} out: {:.3g} s{}; needs {}",
              inputs.measured_here ? "measured" : "projected", workload.concurrency,
              workload.concurrency == 1 ? "" : "s", workload.prompt_tokens, workload.output_tokens,
              winner.seconds, against, gigabytes(winner.memory_bytes))};
}

void add_rejections(const std::vector<Candidate>& all, const Candidate* winner, Pick& result) {
  for (const Candidate& c : all) {
    if (&c == winner) continue;
    // Lanes that merely lost the comparison of costs need no sentence each.
    const bool lost =
        c.usable && winner != nullptr &&
        (c.seconds > winner->seconds || (c.may_ship && c.deferrals == winner->deferrals));
    if (!lost) result.reasons.push_back(rejection(c));
  }
}

}  // namespace

Pick pick(const CompareReport& report, const PickInputs& inputs) {
  const std::vector<Candidate> all = candidates(report, inputs);
  const Candidate& reference = all.front();
  Pick result;
  result.target = inputs.situation.device.name;
  const Candidate* winner = choose(all);
  if (winner == nullptr) {
    result.reasons.push_back(
        {.code = "NOTHING_FITS",
         .text = fmt::format("nothing that may ship can run on {}", inputs.situation.device.name)});
  } else {
    result.lane = candidate_name(*winner);
    if (winner->report != nullptr) {
      result.reasons.push_back(quality_reason(*winner));
    } else if (std::any_of(all.begin() + 1, all.end(),
                           [](const Candidate& c) { return c.usable && c.may_ship; })) {
      result.reasons.push_back(
          {.code = "REFERENCE_CHEAPEST",
           .text = "no lane that may ship is faster than the unquantized checkpoint"});
    } else {
      result.reasons.push_back({.code = "NO_LANE_SHIPS",
                                .text = "no lane is proven good enough and usable; keep the "
                                        "unquantized checkpoint"});
    }
    result.reasons.push_back(cost_reason(*winner, reference, inputs));
    const double noise = std::ranges::max(all, {}, &Candidate::noise).noise;
    if (noise > kNoisy) {
      result.reasons.push_back(
          {.code = "NOISY_TIMING",
           .text = fmt::format("rounds of timing differed by up to {:.0f} %: a busy machine; the "
                               "speeds and what follows from them are rough",
                               100 * noise)});
    }
    for (const Rule* rule : winner->rules) {
      // What was measured replaces the expectations of rules.
      if (rule->prior && inputs.measured_here) continue;
      Reason reason = reason_of(*rule);
      if (rule->effect == Effect::kDefer) reason.text = "although " + reason.text;
      result.reasons.push_back(std::move(reason));
    }
  }
  add_rejections(all, winner, result);
  result.flips_if = flips(report, inputs, all, winner);
  return result;
}

}  // namespace quantlane
