// What a calibration text never reached: experts, columns.
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

// Columns or rows that hold nothing but zeros.
struct DeadChannels {
  std::int64_t count = 0;     // of all matrices together
  std::int64_t matrices = 0;  // that have some
  std::string first;          // of these matrices: its tensor
  [[nodiscard]] bool any() const { return count > 0; }
  // `more` of the matrix `tensor`.
  void add(std::int64_t more, const std::string& tensor) {
    if (more == 0) return;
    if (matrices == 0) first = tensor;
    count += more;
    ++matrices;
  }
};

// "384, of which 2 saw no token and 10 fewer than 64; 0 to 901 tokens each, median 312"
std::string to_text(const ExpertCoverage& coverage);

}  // namespace quantlane
