#include "recommend/verdict.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "core/check.h"
#include "core/embedded.h"
#include "core/json.h"
#include "core/stats.h"
#include "recommend/embedded_data.h"

namespace quantlane {
namespace {

constexpr double kAlpha = 0.05;  // one-sided, as in non_inferiority()
constexpr double kPoints = 100;
constexpr std::string_view kTaskPrefix = "task:";

Result<Margins> read_default_margins() {
  constexpr std::string_view kGates = "data/gates/default.json";
  QUANTLANE_TRY(const Json json, embedded_recommend_json(kGates));
  Margins margins;
  for (const Json& row : json["margins"].items()) {
    margins[std::string(row["gate"].string())] = row["margin"].number();
  }
  margins["task_floor"] = json["task_floor"].number();
  return margins;
}

double margin_of(const Margins& margins, const std::string& gate) {
  const auto found = margins.find(gate);
  QUANTLANE_CHECK(found != margins.end());
  return found->second;
}

Verdict verdict_of(Decision decision) {
  switch (decision) {
    case Decision::kNonInferior:
      return Verdict::kShip;
    case Decision::kInferior:
      return Verdict::kDoNotShip;
    case Decision::kUndecided:
      break;
  }
  return Verdict::kInconclusive;
}

Interval in_points(const Interval& share) {
  return mapped(share, [](double v) { return kPoints * v; });
}

AxisVerdict test_axis(std::string name, const Interval& loss, double margin, std::string unit,
                      std::int64_t samples) {
  AxisVerdict axis;
  axis.axis = std::move(name);
  axis.estimate = loss;
  axis.margin = margin;
  axis.unit = std::move(unit);
  if (!std::isfinite(loss.value)) {  // a broken lane compares as neither better nor worse
    axis.verdict = Verdict::kDoNotShip;
    return axis;
  }
  const NonInferiority result = non_inferiority(loss, margin, samples);
  axis.verdict = verdict_of(result.decision);
  axis.more_samples = result.more_samples;
  return axis;
}

// The bounds of the ratio are those of its logarithm, whose width is what shrinks with the samples.
AxisVerdict test_ppl(const Interval& ratio, double margin, std::int64_t tokens) {
  AxisVerdict axis = test_axis("ppl", ratio, margin, "ratio", tokens);
  if (axis.more_samples == 0) return axis;
  const Interval logarithm = mapped(ratio, [](double v) { return std::log(v); });
  axis.more_samples =
      std::max<std::int64_t>(1, non_inferiority(logarithm, std::log(margin), tokens).more_samples);
  return axis;
}

void test_text(const Quality& quality, std::int64_t tokens, const Margins& margins,
               std::vector<AxisVerdict>& axes) {
  const Divergence& divergence = quality.as_run();
  axes.push_back(test_ppl(divergence.ppl_ratio, margin_of(margins, "ppl"), tokens));
  axes.push_back(test_axis("kld", divergence.kld_mean, margin_of(margins, "kld"), "nats", tokens));
  const Interval lost =
      mapped(divergence.top1_agreement, [](double same) { return kPoints * (1 - same); });
  axes.push_back(test_axis("top1", lost, margin_of(margins, "top1"), "points", tokens));
}

AxisVerdict test_tasks(std::string name, const TaskScore& score, double margin) {
  return test_axis(std::move(name), in_points(paired_loss(score.n, score.lost, score.gained)),
                   margin, "points", score.n);
}

// True when the 95 % interval of the reference's accuracy lies above the floor.
bool reference_can_do(const TaskScore& score, double floor_points) {
  return kPoints * binomial_exact(score.reference, score.n).low > floor_points;
}

// Many sets are many chances to look inferior by accident: "do not ship" of a single set needs a
// p-value that survives Holm's adjustment over all gating sets. (Shipping needs every set, which
// asks for no adjustment: an intersection-union test.)
void adjust_inferior_sets(std::span<AxisVerdict> axes, std::span<const TaskScore> scores) {
  std::vector<double> p_values;
  p_values.reserve(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    p_values.push_back(
        loss_above_p(scores[i].n, scores[i].lost, scores[i].gained, axes[i].margin / kPoints));
  }
  const std::vector<double> adjusted = holm_adjusted(p_values);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].verdict != Verdict::kDoNotShip || adjusted[i] <= kAlpha) continue;
    axes[i].verdict = Verdict::kInconclusive;
    // Planned as in non_inferiority(), at the level that the family leaves to one set.
    constexpr double kNormal = 1e9;  // degrees of freedom
    const double level = kAlpha / static_cast<double>(axes.size());
    const double wanted = student_t_quantile(1 - level, kNormal) + student_t_quantile(0.8, kNormal);
    const double seen = student_t_quantile(1 - std::clamp(p_values[i], 1e-12, 0.49), kNormal);
    const double ratio = wanted / seen;
    axes[i].more_samples = static_cast<std::int64_t>(
        std::ceil(std::max(1.0, static_cast<double>(scores[i].n) * (ratio * ratio - 1))));
  }
}

void test_task_sets(const std::vector<TaskScore>& tasks, const Margins& margins,
                    std::vector<AxisVerdict>& axes) {
  TaskScore pool{.name = "tasks"};
  std::vector<TaskScore> gating;
  std::vector<AxisVerdict> gating_axes;
  std::vector<AxisVerdict> other_axes;
  for (const TaskScore& score : tasks) {
    if (score.n <= 0) continue;
    const std::string gate = std::string(kTaskPrefix) + score.name;
    AxisVerdict axis =
        test_tasks(gate, score, margin_of(margins, margins.contains(gate) ? gate : "task"));
    if (!reference_can_do(score, margin_of(margins, "task_floor"))) {
      axis.gates = false;
      other_axes.push_back(std::move(axis));
      continue;
    }
    gating.push_back(score);
    gating_axes.push_back(std::move(axis));
    pool.n += score.n;
    pool.lost += score.lost;
    pool.gained += score.gained;
  }
  adjust_inferior_sets(gating_axes, gating);
  if (pool.n > 0) axes.push_back(test_tasks("tasks", pool, margin_of(margins, "tasks")));
  std::move(gating_axes.begin(), gating_axes.end(), std::back_inserter(axes));
  std::move(other_axes.begin(), other_axes.end(), std::back_inserter(axes));
}

Verdict overall(const std::vector<AxisVerdict>& axes) {
  bool any = false;
  bool all_ship = true;
  for (const AxisVerdict& axis : axes) {
    if (!axis.gates) continue;
    any = true;
    if (axis.verdict == Verdict::kDoNotShip) return Verdict::kDoNotShip;
    all_ship = all_ship && axis.verdict == Verdict::kShip;
  }
  return any && all_ship ? Verdict::kShip : Verdict::kInconclusive;
}

}  // namespace

Result<Margins> margins_in_force(const Margins& overrides) {
  static const Result<Margins> defaults = read_default_margins();
  QUANTLANE_TRY(Margins margins, Result<Margins>(defaults));
  std::string known;
  for (const auto& [gate, margin] : margins) known += gate + ", ";
  for (const auto& [gate, margin] : overrides) {
    if (!margins.contains(gate) && !gate.starts_with(kTaskPrefix)) {
      return fail(usage_error("setting the margin of a gate")
                      .got("\"" + gate + "\"")
                      .expects("one of " + known + "task:NAME"));
    }
    const bool is_points = gate != "ppl" && gate != "kld" && gate != "kv";
    const double least = gate == "ppl" ? 1 : 0;
    const double most = is_points ? kPoints : std::numeric_limits<double>::max();
    // Written so that a margin that is not a number fails too.
    if (!(margin >= least && margin < most)) {
      return fail(usage_error("setting the margin of a gate")
                      .of(gate)
                      .got(fmt::format("{}", margin))
                      .expects(is_points ? fmt::format("{} to below {}", least, most)
                                         : fmt::format("at least {}", least)));
    }
    margins[gate] = margin;
  }
  return margins;
}

Judgement judge(const Quality& quality, std::int64_t tokens_scored, const Margins& margins) {
  Judgement judgement;
  if (tokens_scored > 0) test_text(quality, tokens_scored, margins, judgement.axes);
  test_task_sets(quality.tasks, margins, judgement.axes);
  judgement.verdict = overall(judgement.axes);
  if (judgement.verdict != Verdict::kInconclusive) return judgement;
  for (const AxisVerdict& axis : judgement.axes) {
    if (!axis.gates) continue;
    std::int64_t& more =
        axis.axis.starts_with("task") ? judgement.more_items : judgement.more_tokens;
    more = std::max(more, axis.more_samples);
  }
  return judgement;
}

AxisVerdict judge_kv(const Divergence& divergence, std::int64_t tokens_scored,
                     const Margins& margins) {
  return test_axis("kv", divergence.kld_mean, margin_of(margins, "kv"), "nats", tokens_scored);
}

double ships_above(const AxisVerdict& axis) {
  if (!std::isfinite(axis.estimate.value)) return std::numeric_limits<double>::infinity();
  return axis.estimate.one_sided_high;
}

}  // namespace quantlane
