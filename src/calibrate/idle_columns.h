// Columns of Linears whose inputs a text never moved from zero.
#pragma once
#include <string>

#include "calibrate/statistics.h"
#include "model/graph.h"
#include "quantlane/coverage.h"

namespace quantlane {

// Of the Linears of `graph` that saw tokens.
DeadChannels idle_columns(const Statistics& statistics, const Graph& graph);
// "12 input columns of 2 matrices were zero for every token (the first: …)"; empty without any.
std::string idle_columns_notice(const DeadChannels& columns);

}  // namespace quantlane
