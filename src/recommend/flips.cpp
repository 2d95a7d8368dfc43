// What would change the pick: the model is run again with one thing different.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "recommend/candidates.h"
#include "recommend/memory_model.h"
#include "recommend/verdict.h"

namespace quantlane {
namespace {

constexpr std::int64_t kMostRequests = 512;

// Rounded away from the threshold, so that the sentence stays true with the printed digits.
double four_digits(double threshold, bool up) {
  if (!std::isfinite(threshold) || threshold == 0) return threshold;
  const double unit = std::pow(10, std::floor(std::log10(std::abs(threshold))) - 3);
  return (up ? std::floor(threshold / unit) + 1 : std::ceil(threshold / unit) - 1) * unit;
}

std::string name_or_nothing(const Candidate* c) {
  return c == nullptr ? "nothing fits" : candidate_name(*c);
}

std::string chosen_with(const CompareReport& report, const PickInputs& inputs) {
  return name_or_nothing(choose(candidates(report, inputs)));
}

// The nearest concurrency above and below that changes the pick.
void add_concurrency(const CompareReport& report, const PickInputs& inputs, const std::string& now,
                     std::vector<std::string>& flips) {
  PickInputs other = inputs;
  std::int64_t& requests = other.situation.workload.concurrency;
  const std::int64_t given = requests;
  for (requests = given + 1; requests <= kMostRequests; ++requests) {
    const std::string then = chosen_with(report, other);
    if (then == now) continue;
    flips.push_back(fmt::format("from {} requests in flight: {}", requests, then));
    break;
  }
  for (requests = std::min(given, kMostRequests) - 1; requests >= 1; --requests) {
    const std::string then = chosen_with(report, other);
    if (then == now) continue;
    flips.push_back(
        fmt::format("up to {} request{} in flight: {}", requests, requests == 1 ? "" : "s", then));
    break;
  }
}

// Device memory that makes `need` just fit.
double device_bytes(const PickInputs& inputs, const LaneFacts& facts) {
  const Situation& s = inputs.situation;
  const MemoryNeed need = memory_need(s.model, facts, s.device, s.workload);
  return need.total() * s.device.memory_bytes / need.usable;
}

void add_memory(const CompareReport& report, const PickInputs& inputs,
                const std::vector<Candidate>& all, const Candidate* winner,
                std::vector<std::string>& flips) {
  PickInputs other = inputs;
  double& memory = other.situation.device.memory_bytes;
  // A model far smaller than the device needs no such warning.
  constexpr double kWorthSaying = 1.0 / 16;
  if (winner != nullptr && winner->memory_bytes > kWorthSaying * memory) {
    const double least = device_bytes(inputs, winner->facts);
    memory = least * (1 - 1e-9);
    flips.push_back(fmt::format("with less than {:.2f} GB of memory: {}", least / 1e9,
                                chosen_with(report, other)));
  }
  // Every candidate that does not fit today, smallest first.
  std::vector<double> sizes;
  for (const Candidate& c : all) {
    if (!c.fits) sizes.push_back(device_bytes(inputs, c.facts));
  }
  std::sort(sizes.begin(), sizes.end());
  for (const double size : sizes) {
    memory = size * (1 + 1e-9);
    const std::string then = chosen_with(report, other);
    if (then == name_or_nothing(winner)) continue;
    flips.push_back(fmt::format("with at least {:.2f} GB of memory: {}", size / 1e9, then));
    return;
  }
}

// The candidates as other margins would judge them. Exact: a lane may ship when every gate's bound
// lies below its margin (Holm's adjustment concerns "do not ship" only).
std::vector<Candidate> with_margins(std::vector<Candidate> all,
                                    const std::map<std::string, double>& margins) {
  for (Candidate& c : all) {
    if (c.report == nullptr || c.report->axes.empty()) continue;
    bool any = false;
    bool every = true;
    for (const AxisVerdict& axis : c.report->axes) {
      if (!axis.gates) continue;
      const auto other = margins.find(axis.axis);
      any = true;
      every = every && ships_above(axis) < (other == margins.end() ? axis.margin : other->second);
    }
    c.may_ship = any && every;
  }
  return all;
}

// "about 900 more tokens and 120 more items" that the undecided gates of the lane ask for.
std::string samples_wanted(const LaneReport& lane) {
  std::int64_t tokens = 0;
  std::int64_t items = 0;
  for (const AxisVerdict& axis : lane.axes) {
    if (!axis.gates) continue;
    std::int64_t& more = axis.axis.starts_with("task") ? items : tokens;
    more = std::max(more, axis.more_samples);
  }
  if (tokens == 0 && items == 0) return "";
  std::string text = "about ";
  if (tokens > 0) text += fmt::format("{} more tokens", tokens);
  if (items > 0) text += fmt::format("{}{} more items", tokens > 0 ? " and " : "", items);
  return text;
}

// Lanes that are better but may not ship: how many samples or which margins would let them.
void add_blocked(const std::vector<Candidate>& all, std::vector<std::string>& flips) {
  for (const Candidate& c : all) {
    if (c.may_ship || c.report == nullptr) continue;
    const std::string name = candidate_name(c);
    const std::string more = samples_wanted(*c.report);
    if (c.report->verdict == Verdict::kInconclusive && !more.empty() &&
        name_or_nothing(choose(all, name)) == name) {
      flips.push_back(fmt::format("if {} confirmed {}: {}", more, name, name));
    }
    std::map<std::string, double> margins;
    std::string text;
    bool reachable = true;
    for (const AxisVerdict& axis : c.report->axes) {
      if (!axis.gates || axis.verdict == Verdict::kShip) continue;
      const double least = four_digits(ships_above(axis), true);
      reachable = reachable && std::isfinite(least);
      margins[axis.axis] = least;
      text += fmt::format("{}the {} margin were {:.4g} {}", text.empty() ? "" : " and ", axis.axis,
                          least, axis.unit);
    }
    // A wider margin also lets others ship; only a lane that then wins is worth a sentence.
    if (!reachable || margins.empty()) continue;
    if (name_or_nothing(choose(with_margins(all, margins))) == name) {
      flips.push_back(fmt::format("if {}: {}", text, name));
    }
  }
}

// Timings are known as well as their rounds agree: what would be picked had one lane been timed at
// the better, or the winner at the worse end of its own.
void add_timing(const std::vector<Candidate>& all, const Candidate& winner,
                std::vector<std::string>& flips) {
  double widest = 0;
  std::set<std::string> others;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!std::isfinite(all[i].seconds)) continue;
    std::vector<Candidate> other = all;
    other[i].seconds *= &all[i] == &winner ? 1 + all[i].noise : 1 - all[i].noise;
    widest = std::max(widest, all[i].noise);
    const std::string then = name_or_nothing(choose(other));
    if (then != candidate_name(winner)) others.insert(then);
  }
  if (others.empty()) return;
  flips.push_back(fmt::format("within the noise of the timings, up to {:.0f} % here: {}",
                              std::ceil(100 * widest), fmt::join(others, " or ")));
}

// The gate of the winner that needs the least tightening to stop it.
void add_winner_margin(const std::vector<Candidate>& all, const Candidate& winner,
                       std::vector<std::string>& flips) {
  if (winner.report == nullptr) return;
  const AxisVerdict* closest = closest_gate(*winner.report);
  // An axis that gained passes any margin that may be set.
  if (closest == nullptr || ships_above(*closest) <= strictest_margin(*closest)) return;
  const double tighter =
      std::max(strictest_margin(*closest), four_digits(ships_above(*closest), false));
  const std::vector<Candidate> then = with_margins(all, {{closest->axis, tighter}});
  flips.push_back(fmt::format("if the {} margin were {:.4g} {}: {}", closest->axis, tighter,
                              closest->unit, name_or_nothing(choose(then))));
}

}  // namespace

std::vector<std::string> flips(const CompareReport& report, const PickInputs& inputs,
                               const std::vector<Candidate>& all, const Candidate* winner) {
  std::vector<std::string> found;
  if (!inputs.measured_here && winner != nullptr) {
    add_concurrency(report, inputs, candidate_name(*winner), found);
  }
  if (winner != nullptr) add_timing(all, *winner, found);
  add_memory(report, inputs, all, winner, found);
  add_blocked(all, found);
  if (winner != nullptr) add_winner_margin(all, *winner, found);
  return found;
}

}  // namespace quantlane
