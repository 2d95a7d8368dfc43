// The table of algorithms: one row each.
#include <array>

#include "quantize/algorithms/algorithm.h"
#include "quantize/algorithms/gptq.h"
#include "quantize/algorithms/rtn.h"
#include "quantize/algorithms/weighted.h"

namespace quantlane {
namespace {
constinit const std::array<const Algorithm*, 3> kAlgorithms = {&kRtn, &kWeighted, &kGptqRounding};
}  // namespace

std::span<const Algorithm* const> algorithms() { return kAlgorithms; }

const Algorithm* algorithm_by_name(std::string_view name) {
  for (const Algorithm* algorithm : kAlgorithms) {
    if (algorithm->name == name) return algorithm;
  }
  return nullptr;
}

}  // namespace quantlane
