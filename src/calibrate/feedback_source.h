// Error feedback for the Linears of a model, a group of layers at a time within a memory budget.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "calibrate/error_feedback.h"

namespace quantlane {

class FeedbackSource {
 public:
  // `memory_budget` in bytes, for the matrices kept at one time; at least those of one layer are.
  // `pool` and `progress` must outlive this object.
  FeedbackSource(std::shared_ptr<const Checkpoint> checkpoint, TokenChunks chunks,
                 std::uint64_t memory_budget, ThreadPool& pool, Progress& progress);
  ~FeedbackSource();
  FeedbackSource(const FeedbackSource&) = delete;
  FeedbackSource& operator=(const FeedbackSource&) = delete;

  // Null where `module` has none (head, embedding, not of the model). A layer outside the present
  // group costs a pass over the chunks: ask layer by layer.
  Result<std::shared_ptr<const ErrorFeedback>> of(std::string_view module);

 private:
  Result<void> load_group(std::int64_t first);

  std::shared_ptr<const Checkpoint> checkpoint_;
  TokenChunks chunks_;
  std::unique_ptr<Runtime> runtime_;  // on first use
  std::uint64_t budget_;
  ThreadPool& pool_;
  Progress& progress_;
  std::int64_t first_ = 0;
  std::int64_t last_ = 0;  // layers [first_, last_) are here
  std::map<std::string, std::shared_ptr<const ErrorFeedback>, std::less<>> group_;
};

}  // namespace quantlane
