#include "calibrate/feedback_findings.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace quantlane {

void FeedbackFindings::note(const std::string& tensor, const ErrorFeedback& feedback) {
  idle_.add(std::ranges::count(feedback.moments, 0.0F), tensor);
  if (feedback.damping <= kLeastDamping) return;
  if (damped_ == 0) first_damped_ = tensor;
  ++damped_;
  most_damping_ = std::max(most_damping_, feedback.damping);
}

void FeedbackFindings::note_expert(std::int64_t own, std::int64_t columns) {
  ++experts_;
  if (own >= columns) return;
  fewest_ = scarce_ == 0 ? own : std::min(fewest_, own);
  ++scarce_;
}

void FeedbackFindings::note_layer(std::int64_t layer, std::vector<std::int64_t> tokens) {
  tokens_[layer] = std::move(tokens);
}

std::vector<std::string> FeedbackFindings::notices() const {
  std::vector<std::string> lines;
  if (scarce_ > 0) {
    lines.push_back(
        fmt::format("error feedback: {} of {} experts saw fewer calibration tokens than their down "
                    "matrix has columns (the least: {}); it also sees tokens of other experts",
                    scarce_, experts_, fewest_));
  }
  if (damped_ > 0) {
    lines.push_back(fmt::format(
        "error feedback: the second moments of {} (the first: {}) were not positive definite with "
        "{:g} times their mean added, up to {:g} times was: what they can make up for is less",
        damped_ == 1 ? "1 matrix" : fmt::format("{} matrices", damped_), first_damped_,
        kLeastDamping, most_damping_));
  }
  return lines;
}

}  // namespace quantlane
