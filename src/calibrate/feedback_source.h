// Error feedback for the Linears of a model, layer by layer, from the inputs that the layers
// quantized so far give.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "calibrate/dataset.h"
#include "calibrate/error_feedback.h"
#include "calibrate/feedback_findings.h"
#include "formats/scheme.h"
#include "runtime/layer_walk.h"

namespace quantlane {

struct FeedbackRequest {
  std::int64_t group = 0;                                // as in make_error_feedback()
  std::optional<ActivationScheme> input = std::nullopt;  // how inputs will be rounded
};

// Inputs of the down of an expert wait until they are about this many.
inline constexpr std::int64_t kExpertRowsAtOnce = 1024;

class FeedbackSource {
 public:
  // `pool` must outlive this object. Memory: that of a LayerWalk, four matrices of
  // one layer, one factor of them. Beside::kExact: weights make up for what their inputs have moved
  // by.
  FeedbackSource(std::shared_ptr<const Checkpoint> checkpoint, TokenChunks chunks, ThreadPool& pool,
                 LayerWalk::Beside beside = LayerWalk::Beside::kExact, WalkMemory memory = {});
  ~FeedbackSource();
  FeedbackSource(const FeedbackSource&) = delete;
  FeedbackSource& operator=(const FeedbackSource&) = delete;

  // Null where `module` has none (head, embedding, not of the model). Gate and up of experts: the
  // rows of all tokens, whoever they are routed to. Down of an expert: of its own tokens, and of
  // others where these are fewer than its columns. Ask layer by layer: what lies behind costs a new
  // pass, in which nothing is settled. kCorrupt when activations are not finite or their moments
  // have no factor.
  Result<std::shared_ptr<const ErrorFeedback>> of(std::string_view module,
                                                  const FeedbackRequest& request);
  // `module` has been quantized to `weight`: what comes after it sees its outputs. Only between
  // of() for this stage and of() for a later one; ignored otherwise.
  void settle(std::string_view module, Weight weight);
  // The same for what an earlier run has made of `module`, for which of() is not asked.
  Result<void> settle_earlier(std::string_view module, Weight weight);
  [[nodiscard]] const TokenChunks& chunks() const { return chunks_; }
  // Of what has been asked for.
  [[nodiscard]] const FeedbackFindings& findings() const { return findings_; }

 private:
  struct Found {
    std::optional<Hessian> hessian;
    std::optional<ActivationScheme> input;
    std::int64_t group = 0;
    std::shared_ptr<const ErrorFeedback> feedback;
    std::int64_t expert = -1;  // whose inputs of down these are
  };
  [[nodiscard]] const Parameter* linear(std::string_view module) const;
  // To the stage of `linear`; null `request`: nothing that is passed will be asked for.
  Result<void> walk_to(const Parameter& linear, const FeedbackRequest* request);
  Result<void> collect(const FeedbackRequest& request, const Parameter* expert = nullptr);
  // The unquantized down of the layer of the walk [rows, cols].
  [[nodiscard]] std::vector<float> exact_down() const;
  Result<void> see_expert(const Parameter& down, const LayerWalk::See& see);

  std::shared_ptr<const Checkpoint> checkpoint_;
  TokenChunks chunks_;
  ThreadPool& pool_;
  LayerWalk::Beside beside_;
  WalkMemory memory_;
  std::unique_ptr<Runtime> runtime_;  // on first use
  std::unique_ptr<LayerWalk> walk_;
  std::array<Found, 4> stages_;  // of the layer of the walk
  FeedbackFindings findings_;
};

}  // namespace quantlane
