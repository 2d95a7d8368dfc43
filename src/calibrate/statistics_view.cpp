#include "calibrate/statistics_view.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "containers/container.h"

namespace quantlane {
namespace {

constexpr std::string_view kExperts = ".experts.";

struct ExpertName {
  std::string stacked;  // without the number
  std::size_t expert;
};

// "….experts.3.w1" -> "….experts.w1", 3.
std::optional<ExpertName> expert_in(const std::string& module) {
  const std::size_t at = module.find(kExperts);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = at + kExperts.size();
  const char* end = module.data() + module.size();
  std::size_t expert = 0;
  const auto read = std::from_chars(module.data() + begin, end, expert);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != '.') return std::nullopt;
  return ExpertName{.stacked = module.substr(0, begin) + std::string(read.ptr + 1, end),
                    .expert = expert};
}

}  // namespace

bool holds_statistics(const std::filesystem::path& path) {
  if (path.extension() == kStatisticsExtension) return true;
  const auto container = open_container(path);
  return container && std::ranges::any_of((*container)->tensors(), [](const TensorInfo& tensor) {
           return tensor.name.ends_with(kStatisticsAbsmax);
         });
}

Imatrix view_as_imatrix(const Statistics& statistics) {
  Imatrix imatrix;
  imatrix.datasets = statistics.origin().texts;
  imatrix.chunk_size = statistics.origin().chunk_size;
  const auto experts = static_cast<std::size_t>(statistics.origin().experts);
  std::map<std::string, std::map<std::size_t, const InputStatistics*>> stacks;
  for (const auto& [module, inputs] : statistics.modules()) {
    if (const auto name = expert_in(module); name && name->expert < experts) {
      stacks[name->stacked][name->expert] = &inputs;
    } else {
      imatrix.entries[module + ".weight"] = {.sums = inputs.sum_squares, .counts = {inputs.tokens}};
    }
  }
  for (const auto& [name, stack] : stacks) {
    const std::size_t width = stack.begin()->second->sum_squares.size();
    ImatrixEntry entry{.sums = std::vector<double>(experts * width),
                       .counts = std::vector<std::int64_t>(experts)};
    for (const auto& [expert, inputs] : stack) {
      if (inputs->sum_squares.size() != width) continue;
      std::ranges::copy(inputs->sum_squares,
                        entry.sums.begin() + static_cast<std::ptrdiff_t>(expert * width));
      entry.counts[expert] = inputs->tokens;
    }
    imatrix.entries[name + ".weight"] = std::move(entry);
  }
  imatrix.chunk_count = imatrix.chunk_size > 0 ? imatrix.tokens() / imatrix.chunk_size : 0;
  return imatrix;
}

}  // namespace quantlane
