// The inside of pick(): candidates, their cost, the choice among them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "recommend/pick.h"

namespace quantlane {

// A lane of the report, or the reference, in one situation.
struct Candidate {
  const LaneReport* report = nullptr;  // null: the reference
  LaneFacts facts;
  bool may_ship = false;
  bool usable = false;  // fits, has a kernel, no rule excludes it
  bool fits = false;
  int deferrals = 0;  // standing ones; priors do not count against measured lanes
  double seconds = 0;
  double same_time = 1;  // times up to this factor count as equal however well they are known
  double noise = 0;      // relative, of `seconds`: spread of the timings; 0 where projected
  double memory_bytes = 0;
  Projection projection;
  std::vector<const Rule*> rules;
};

// Reference first, then the lanes of the report whose facts are known.
std::vector<Candidate> candidates(const CompareReport& report, const PickInputs& inputs);
// The best of those that may ship and are usable; `also` (a name) may ship besides. Null when there
// is none.
const Candidate* choose(const std::vector<Candidate>& all, std::string_view also = {});
// Name in Pick.lane: "reference" or the lane.
std::string candidate_name(const Candidate& candidate);

// The gating axis of a lane that uses most of its margin; null when nothing gates.
const AxisVerdict* closest_gate(const LaneReport& lane);
// Margin at which nothing may be lost: 1 for ratios, else 0.
double strictest_margin(const AxisVerdict& axis);

// What would change `winner`, as sentences; empty when nothing foreseeable would.
std::vector<std::string> flips(const CompareReport& report, const PickInputs& inputs,
                               const std::vector<Candidate>& all, const Candidate* winner);

}  // namespace quantlane
