// What is worth telling of the second moments behind error feedback.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/error_feedback.h"
#include "calibrate/expert_coverage.h"
#include "quantlane/coverage.h"

namespace quantlane {

class FeedbackFindings {
 public:
  // `feedback` was made for the matrix `tensor`, once for each.
  void note(const std::string& tensor, const ErrorFeedback& feedback);
  // The inputs of down of an expert with so many columns: `own` of its own tokens.
  void note_expert(std::int64_t own, std::int64_t columns);
  // How many tokens the experts of `layer` saw; told once a layer.
  void note_layer(std::int64_t layer, std::vector<std::int64_t> tokens);
  [[nodiscard]] bool knows_layer(std::int64_t layer) const { return tokens_.contains(layer); }
  [[nodiscard]] const ExpertTokens& expert_tokens() const { return tokens_; }
  // Of the matrices with feedback: inputs that were zero for every token.
  [[nodiscard]] const DeadChannels& idle_columns() const { return idle_; }
  // A line each: experts with fewer tokens than columns, matrices whose moments needed more damping
  // than kLeastDamping.
  [[nodiscard]] std::vector<std::string> notices() const;

 private:
  DeadChannels idle_;
  std::int64_t damped_ = 0;  // matrices that needed more
  std::string first_damped_;
  double most_damping_ = 0;
  ExpertTokens tokens_;
  std::int64_t experts_ = 0;
  std::int64_t scarce_ = 0;  // of them with fewer tokens than columns
  std::int64_t fewest_ = 0;  // tokens of one of those
};

}  // namespace quantlane
