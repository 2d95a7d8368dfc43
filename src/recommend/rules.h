// Expert rules as a table: one row per rule, each with the id of its fixture (docs/statistics.md
// lists them and those that need facts not available yet). Rules never measure; they exclude what
// cannot work, order lanes before anything is measured, and explain.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantlane/compare.h"
#include "recommend/hardware.h"
#include "recommend/lane_facts.h"

namespace quantlane {

// What is to be decided; `reference` is the unquantized checkpoint.
struct Situation {
  Device device;
  ModelFacts model;
  Workload workload;
  LaneFacts reference;
  std::vector<LaneFacts> lanes;
};

enum class Effect : std::uint8_t {
  kExclude,  // cannot work
  kDefer,    // after every lane that nothing defers
  kPrefer,   // before lanes that nothing prefers
  kNote,     // explains, changes nothing
};

struct Rule {
  std::string_view id;  // "S1" … "E26": fixture; "F1": hard filter
  Effect effect;
  // A prior: what a comparison measured replaces the preference or deferral.
  bool prior;
  std::string_view code;  // "NATIVE_FP8"
  std::string_view text;  // one sentence about the lane
  bool (*applies)(const Situation&, const LaneFacts&);
};

std::span<const Rule> rules();
// The rules that apply to a lane (also to the reference), in table order.
std::vector<const Rule*> rules_for(const Situation& situation, const LaneFacts& lane);
Reason reason_of(const Rule& rule);

// One lane before anything is measured.
struct RankedLane {
  std::string lane;
  bool excluded = false;
  int standing = 0;    // preferences minus deferrals
  double seconds = 0;  // projected for the workload
  Projection projection;
  std::vector<Reason> reasons;  // never empty
};
// Best first: not excluded, higher standing, less time, less memory, name.
std::vector<RankedLane> rank_lanes(const Situation& situation);

}  // namespace quantlane
