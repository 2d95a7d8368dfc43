#include "calibrate/idle_columns.h"

#include <algorithm>

#include <fmt/format.h>

namespace quantlane {

DeadChannels idle_columns(const Statistics& statistics, const Graph& graph) {
  DeadChannels columns;
  for (const Parameter& p : graph.parameters) {
    const auto found = statistics.modules().find(p.module());
    if (!is_linear(p.role) || found == statistics.modules().end() || found->second.tokens == 0)
      continue;
    columns.add(std::ranges::count(found->second.sum_squares, 0.0), p.name);
  }
  return columns;
}

std::string idle_columns_notice(const DeadChannels& columns) {
  if (!columns.any()) return {};
  return fmt::format(
      "{} of {} zero for every token (the first: {}); their weights count next to "
      "nothing",
      columns.count == 1 ? "1 input column" : fmt::format("{} input columns", columns.count),
      columns.matrices == 1 ? "1 matrix was" : fmt::format("{} matrices were", columns.matrices),
      columns.first);
}

}  // namespace quantlane
