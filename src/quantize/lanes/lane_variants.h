// Names that spell a scheme out: "w3a16", "w4a16-g64", "gptq-int8-channel". Which of them a lane
// stands for besides itself is data, the member "variants" of its row in data/lanes/lanes.json:
//   "bits": [4, 8], "spelled": "w{bits}a16"   other widths, and how their names begin
//   "groups": [32, 64, 128]                   group sizes behind the name: "-g64"
//   "channel": true                           one scale per row: "-channel"
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

// What may stand behind the name of a lane to say which weights share a scale.
struct LaneGroups {
  std::string stem;             // the name without it: "w4a16"
  std::vector<int> sizes = {};  // ascending; empty: none can be chosen
  bool channel = false;         // "-channel"
  // A size was named: it may not give way to a smaller one where it does not divide a width.
  bool chosen = false;
};

// The row for `name` among `rows`, or spelled out from one of them: a row like those of lanes.json,
// with the name, the scheme and the summary asked for. nullopt: no lane. kInternal: a row is wrong.
Result<std::optional<Json>> lane_row(const Json& rows, std::string_view name);
// Of a row that lane_row() gave.
LaneGroups groups_of_row(const Json& row);
// "w4a16-g16, w4a16-g32, w4a16-channel" for "w4a16-g65": the names that spell the stem of `name`
// out; empty: no row has one.
std::string near_variants(const Json& rows, std::string_view name);
// "w<2|3|4>a16[-g<32|64|128>|-channel]" and the like: one line for all rows that are spelled alike.
std::vector<std::string> variant_grammar(const Json& rows);

}  // namespace quantlane
