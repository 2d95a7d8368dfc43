#include "model/damaged_weight.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <vector>

#include "core/cancel.h"
#include "core/check.h"

namespace quantlane {
namespace {

// Where the tensor of `p` lies.
void name_tensor(const Checkpoint& checkpoint, const Parameter& p, Error& error) {
  error.tensor = p.name;
  if (const TensorInfo* stored = checkpoint.stored(p).tensor; stored != nullptr) {
    error = at_tensor(std::move(error), checkpoint.container(), *stored);
  }
}

// "row 3, column 7"; of a vector "element 7".
std::optional<std::string> first_not_finite(const Weight& weight) {
  std::vector<float> row(static_cast<std::size_t>(weight.cols()));
  for (std::int64_t r = 0; r < weight.rows(); ++r) {
    weight.decode_rows(r, 1, row.data());
    const auto bad = std::ranges::find_if(row, [](float value) { return !std::isfinite(value); });
    if (bad == row.end()) continue;
    const std::string column = std::to_string(bad - row.begin());
    return weight.rows() == 1 ? "element " + column
                              : "row " + std::to_string(r) + ", column " + column;
  }
  return std::nullopt;
}

// Whose results enter a Linear.
Role source_of(Role linear) {
  switch (linear) {
    case Role::kAttentionOutput:
      return Role::kValue;
    case Role::kGate:
    case Role::kUp:
      return Role::kFeedForwardNorm;
    case Role::kDown:
      return Role::kUp;
    case Role::kHead:
    case Role::kEmbedding:
      return Role::kFinalNorm;
    default:
      return Role::kAttentionNorm;
  }
}

}  // namespace

Error blame_damaged_weight(const Checkpoint& checkpoint, Error error) {
  for (const Parameter& p : checkpoint.graph()->parameters) {
    const auto weight = checkpoint.weight(p);
    if (!weight) continue;
    const auto place = first_not_finite(*weight);
    if (!place) continue;
    name_tensor(checkpoint, p, error);
    error.found = "NaN or infinity in " + *place + " of this weight";
    return error;
  }
  return error;
}

Result<void> check_finite_weights(const Checkpoint& checkpoint, std::string attempted,
                                  ThreadPool& pool) {
  const auto& parameters = checkpoint.graph()->parameters;
  std::atomic<bool> sound{true};
  pool.parallel_for(static_cast<std::int64_t>(parameters.size()), [&](std::int64_t i, int) {
    if (cancel_requested() || !sound) return;
    const Parameter& p = parameters[static_cast<std::size_t>(i)];
    const auto weight = checkpoint.weight(p);
    if (weight && first_not_finite(*weight)) sound = false;
    checkpoint.drop(p);
  });
  QUANTLANE_TRY_VOID(check_cancel("checking the weights"));
  if (sound) return {};
  return fail(blame_damaged_weight(
      checkpoint,
      corrupt(std::move(attempted))
          .expects("finite values")
          .advise("the checkpoint is broken: quantlane inspect lists the damaged tensors")));
}

std::string find_weight_damage(const Checkpoint& checkpoint, const Parameter& parameter) {
  const auto weight = checkpoint.weight(parameter);
  if (!weight) return weight.error().message();
  const auto place = first_not_finite(*weight);
  return place ? "decodes to NaN or infinity in " + *place : "";
}

Error blame_inputs_of(const Checkpoint& checkpoint, const Parameter& linear, Error error) {
  const auto& parameters = checkpoint.graph()->parameters;
  const auto source = std::ranges::find_if(parameters, [&](const Parameter& p) {
    return p.layer == linear.layer && p.role == source_of(linear.role) &&
           (p.expert < 0 || p.expert == linear.expert);
  });
  if (source != parameters.end()) {
    name_tensor(checkpoint, *source, error);
    error.found = "finite values in this tensor that make the inputs of " + linear.name +
                  " NaN or infinite, the first of the model";
  }
  return blame_damaged_weight(checkpoint, std::move(error));
}

}  // namespace quantlane
