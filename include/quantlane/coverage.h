// How well a text reached the experts of a model.
#pragma once
#include <cstdint>
#include <string>

namespace quantlane {

// Over the experts of all layers; tokens are those that the router sent to one.
struct ExpertCoverage {
  std::int64_t experts = 0;
  std::int64_t unseen = 0;  // that no token reached
  std::int64_t scarce = 0;  // that some reached, but fewer than `enough`
  std::int64_t enough = 0;  // tokens from which on an expert's own statistics are used alone
  std::int64_t fewest_tokens = 0;
  std::int64_t median_tokens = 0;
  std::int64_t most_tokens = 0;
};

// "384, of which 2 saw no token and 10 fewer than 64; 0 to 901 tokens each, median 312"
std::string to_text(const ExpertCoverage& coverage);

}  // namespace quantlane
