// What the help of quantlane quantize and compare lists.
#include <algorithm>

#include "quantize/algorithms/algorithm.h"
#include "quantize/lanes/lane.h"
#include "quantize/transforms/transform.h"
#include "quantlane/quantize.h"

namespace quantlane {

std::vector<std::pair<std::string, std::string>> list_lane_options() {
  std::vector<std::pair<std::string, std::string>> options;
  const auto add = [&](const auto* row) {
    options.emplace_back("+" + std::string(row->name), row->summary);
  };
  std::ranges::for_each(transforms(), add);
  std::ranges::for_each(algorithms(), add);
  return options;
}

std::vector<std::pair<std::string, std::string>> list_lanes() {
  std::vector<std::pair<std::string, std::string>> lanes;
  for (const std::string& name : lane_names()) {
    if (const auto lane = find_lane(name)) lanes.emplace_back(name, lane->summary);
  }
  return lanes;
}

std::vector<std::string> list_lane_variants() { return lane_variants(); }

}  // namespace quantlane
