#include "calibrate/feedback_source.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/check.h"
#include "kernels/activation.h"
#include "model/damaged_weight.h"
#include "runtime/over_tokens.h"

namespace quantlane {
namespace {

bool is_expert_down(const Parameter& linear) {
  return linear.expert >= 0 && linear.role == Role::kDown;
}

std::size_t index_of(LayerStage stage) { return static_cast<std::size_t>(stage); }

// `linear`: one of those whose inputs these moments are of.
Result<void> check_finite(const Hessian& hessian, const Checkpoint& checkpoint,
                          const Parameter& linear) {
  const auto finite = [](const std::vector<float>& values) {
    return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
  };
  if (finite(hessian.sums) && finite(hessian.shift) && finite(hessian.lack)) return {};
  return fail(blame_inputs_of(
      checkpoint, linear,
      corrupt("calibrating")
          .in(checkpoint.path().string())
          .of(linear.name)
          .expects("finite activations")
          .got("NaN or infinity")
          .advise("the checkpoint is broken before quantization: run quantlane inspect on it")));
}

}  // namespace

FeedbackSource::FeedbackSource(std::shared_ptr<const Checkpoint> checkpoint, TokenChunks chunks,
                               ThreadPool& pool, LayerWalk::Beside beside, WalkMemory memory)
    : checkpoint_(std::move(checkpoint)),
      chunks_(std::move(chunks)),
      pool_(pool),
      beside_(beside),
      memory_(std::move(memory)) {}

FeedbackSource::~FeedbackSource() = default;

const Parameter* FeedbackSource::linear(std::string_view module) const {
  const auto& parameters = checkpoint_->graph()->parameters;
  const auto found = std::ranges::find_if(parameters, [&](const Parameter& p) {
    return is_linear(p.role) && p.layer >= 0 && p.module() == module;
  });
  return found == parameters.end() ? nullptr : &*found;
}

Result<std::shared_ptr<const ErrorFeedback>> FeedbackSource::of(std::string_view module,
                                                                const FeedbackRequest& request) {
  const Parameter* parameter = linear(module);
  if (parameter == nullptr) return nullptr;
  QUANTLANE_TRY_VOID(walk_to(*parameter, &request));
  Found& found = stages_[index_of(stage_of(parameter->role))];
  if (found.feedback == nullptr || found.group != request.group) {
    auto feedback = make_error_feedback(*found.hessian, request.group, pool_);
    if (!feedback) {
      return fail(std::move(feedback).error().in(checkpoint_->path().string()).of(parameter->name));
    }
    found.feedback = std::make_shared<const ErrorFeedback>(std::move(*feedback));
    found.group = request.group;
  }
  findings_.note(parameter->name, *found.feedback);
  return found.feedback;
}

Result<void> FeedbackSource::walk_to(const Parameter& linear, const FeedbackRequest* request) {
  const LayerStage stage = stage_of(linear.role);
  const Parameter* expert = is_expert_down(linear) ? &linear : nullptr;
  if (runtime_ == nullptr) {
    QUANTLANE_TRY(runtime_, Runtime::load_by_layers(checkpoint_));
  }
  const bool known = walk_ != nullptr && walk_->layer() == linear.layer &&
                     stages_[index_of(stage)].hessian.has_value() &&
                     stages_[index_of(stage)].expert == (expert != nullptr ? linear.expert : -1);
  if (known && request != nullptr && stages_[index_of(stage)].input == request->input) return {};
  if (walk_ == nullptr || walk_->layer() > linear.layer ||
      (walk_->layer() == linear.layer && walk_->stage() > stage)) {
    walk_ = nullptr;  // before the next one takes its memory
    QUANTLANE_TRY(
        walk_, LayerWalk::start(*runtime_, chunks_.tokens, chunks_.chunk, pool_, beside_, memory_));
    stages_ = {};
  }
  while (walk_->layer() < linear.layer) {
    QUANTLANE_TRY_VOID(walk_->advance());
    if (walk_->stage() == LayerStage::kHeads) stages_ = {};
  }
  // What is passed in this layer may be asked for later.
  while (walk_->stage() < stage) {
    if (request != nullptr && !stages_[index_of(walk_->stage())].hessian) {
      QUANTLANE_TRY_VOID(collect(*request));
    }
    QUANTLANE_TRY_VOID(walk_->advance());
  }
  if (expert != nullptr && !findings_.knows_layer(linear.layer)) {
    QUANTLANE_TRY(auto tokens, walk_->expert_tokens());
    findings_.note_layer(linear.layer, std::move(tokens));
  }
  return request == nullptr ? Result<void>() : collect(*request, expert);
}

Result<void> FeedbackSource::collect(const FeedbackRequest& request, const Parameter* expert) {
  const std::int64_t width =
      expert != nullptr ? expert->cols : stage_width(runtime_->config(), walk_->stage());
  HessianSum sum(width);
  std::vector<float> rounded;
  bool with_outputs = false;
  const auto add = [&](const float* settled, const float* exact, std::int64_t tokens) {
    const float* rows = settled;
    if (request.input) {
      rounded.assign(settled, settled + tokens * width);
      over_tokens(tokens, pool_, [&](std::int64_t first, std::int64_t count) {
        kernels::round_activations(*request.input, rounded.data() + first * width, count, width);
      });
      rows = rounded.data();
    }
    if (beside_ == LayerWalk::Beside::kExact && exact != settled && walk_->shows_outputs()) {
      with_outputs = true;
      sum.add_with_outputs(rows, exact, runtime_->config().hidden_size, tokens, pool_);
    } else {
      sum.add(rows, beside_ == LayerWalk::Beside::kExact ? exact : rows, tokens, pool_);
    }
  };
  if (expert != nullptr) {
    QUANTLANE_TRY_VOID(see_expert(*expert, add));
  } else {
    QUANTLANE_TRY_VOID(walk_->inputs(add));
  }
  Found& found = stages_[index_of(walk_->stage())];
  found = {.hessian = with_outputs ? sum.take(exact_down(), pool_) : sum.take(pool_),
           .input = request.input,
           .group = 0,
           .feedback = nullptr,
           .expert = expert != nullptr ? expert->expert : -1};
  const auto& parameters = checkpoint_->graph()->parameters;
  const auto linear = std::ranges::find_if(parameters, [&](const Parameter& p) {
    return is_block_linear(p.role) && p.layer == walk_->layer() &&
           stage_of(p.role) == walk_->stage();
  });
  return check_finite(*found.hessian, *checkpoint_, expert != nullptr ? *expert : *linear);
}

std::vector<float> FeedbackSource::exact_down() const {
  const BoundLinear& down = runtime_->layer(walk_->layer()).mlp.down;
  std::vector<float> weights(static_cast<std::size_t>(down.parameter->rows * down.parameter->cols));
  pool_.parallel_for(down.parameter->rows, [&](std::int64_t row, int) {
    down.decode_rows(row, 1, weights.data() + row * down.parameter->cols);
  });
  return weights;
}

// An expert has few rows in each batch, and what a row may count is judged by those of the first
// call: they are put together.
Result<void> FeedbackSource::see_expert(const Parameter& down, const LayerWalk::See& see) {
  std::vector<float> settled_rows;
  std::vector<float> exact_rows;
  std::int64_t rows = 0;
  const auto hand_over = [&] {
    if (rows > 0) see(settled_rows.data(), exact_rows.data(), rows);
    settled_rows.clear();
    exact_rows.clear();
    rows = 0;
  };
  QUANTLANE_TRY(
      const std::int64_t own,
      walk_->expert_inputs(down.expert, down.cols,
                           [&](const float* settled, const float* exact, std::int64_t tokens) {
                             const std::int64_t count = tokens * down.cols;
                             settled_rows.insert(settled_rows.end(), settled, settled + count);
                             exact_rows.insert(exact_rows.end(), exact, exact + count);
                             rows += tokens;
                             if (rows >= kExpertRowsAtOnce) hand_over();
                           }));
  hand_over();
  findings_.note_expert(own, down.cols);
  return {};
}

Result<void> FeedbackSource::settle_earlier(std::string_view module, Weight weight) {
  const Parameter* parameter = linear(module);
  if (parameter == nullptr) return {};
  QUANTLANE_TRY_VOID(walk_to(*parameter, nullptr));
  walk_->settle(*parameter, std::move(weight));
  return {};
}

void FeedbackSource::settle(std::string_view module, Weight weight) {
  const Parameter* parameter = linear(module);
  if (parameter == nullptr || walk_ == nullptr || walk_->layer() != parameter->layer ||
      walk_->stage() != stage_of(parameter->role)) {
    return;
  }
  walk_->settle(*parameter, std::move(weight));
}

}  // namespace quantlane
