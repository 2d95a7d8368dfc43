// Gates: is a lane as good as the reference, within margins? Non-inferiority tests per axis
// (docs/statistics.md); the default margins are data/gates/default.json.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quantlane/compare.h"

namespace quantlane {

// Gate -> margin: "ppl" (ratio), "kld" and "kv" (nats), "top1", "tasks" (all sets pooled), "task"
// (each single set) and "task_floor" in percentage points; "task:NAME" overrides "task" for one
// set.
using Margins = std::map<std::string, double>;

// The default margins with `overrides` applied. kInvalidArgument for an unknown gate (the known
// ones are listed) or a margin that its unit does not allow.
Result<Margins> margins_in_force(const Margins& overrides);

struct Judgement {
  Verdict verdict = Verdict::kInconclusive;
  std::vector<AxisVerdict> axes;
  // When inconclusive: about how many more samples decide the slowest token axis ("ppl", "kld",
  // "top1") and the slowest task axis; 0 when that kind decides nothing.
  std::int64_t more_tokens = 0;
  std::int64_t more_items = 0;
};

// Tests every axis that was measured (`tokens_scored` > 0; task sets with items). One axis proven
// inferior: do not ship. All that gate proven non-inferior: ship. Else inconclusive, as is a lane
// without any gating axis. A figure that is not a number is inferior. Task sets on which the
// reference is not clearly above `task_floor` are reported with gates = false and left out of the
// pool. `margins` holds every gate of margins_in_force().
Judgement judge(const Quality& quality, std::int64_t tokens_scored, const Margins& margins);

// The gate "kv" of a rounded key-value cache under the weights of the reference.
AxisVerdict judge_kv(const Divergence& divergence, std::int64_t tokens_scored,
                     const Margins& margins);

// The largest margin at which this axis would not ship, in its unit: it ships with any larger one.
// Infinite when it never ships.
double ships_above(const AxisVerdict& axis);

}  // namespace quantlane
