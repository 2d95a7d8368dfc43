#include "eval/layer_errors.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"

namespace quantlane {
namespace {

std::string_view short_role(Role role) {
  constexpr std::array<std::string_view, 8> kNames = {"q",    "k",  "v",    "o",
                                                      "gate", "up", "down", "head"};
  return kNames[static_cast<std::size_t>(role) - static_cast<std::size_t>(Role::kQuery)];
}

double relative_rmse(const Weight& reference, const Weight& artefact,
                     const std::vector<float>& importance, std::int64_t sample_rows) {
  const std::int64_t cols = reference.cols();
  const std::int64_t count = std::min(sample_rows, reference.rows());
  std::vector<float> a(static_cast<std::size_t>(cols));
  std::vector<float> b(static_cast<std::size_t>(cols));
  double error = 0;
  double norm = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = i * reference.rows() / count;
    reference.decode_rows(row, 1, a.data());
    artefact.decode_rows(row, 1, b.data());
    for (std::size_t c = 0; c < a.size(); ++c) {
      const double h = importance.empty() ? 1.0 : static_cast<double>(importance[c]);
      const double w = static_cast<double>(a[c]);
      const double d = static_cast<double>(b[c]) - w;
      error += h * d * d;
      norm += h * w * w;
    }
  }
  return norm > 0 ? std::sqrt(error / norm) : 0;
}

}  // namespace

Result<std::vector<LayerError>> measure_layer_errors(const Checkpoint& reference,
                                                     const Checkpoint& artefact,
                                                     const Statistics* statistics,
                                                     std::int64_t sample_rows, ThreadPool& pool) {
  struct Pair {
    const Parameter* parameter;
    Weight reference;
    Weight artefact;
  };
  std::vector<Pair> pairs;
  for (const Parameter& parameter : reference.graph()->parameters) {
    if (!is_linear(parameter.role)) continue;
    const Parameter* other = artefact.graph()->find(parameter.role, parameter.layer);
    if (other == nullptr || other->rows != parameter.rows || other->cols != parameter.cols)
      continue;
    QUANTLANE_TRY(Weight a, reference.weight(parameter));
    QUANTLANE_TRY(Weight b, artefact.weight(*other));
    pairs.push_back({.parameter = &parameter, .reference = std::move(a), .artefact = std::move(b)});
  }
  std::vector<LayerError> errors(pairs.size());
  pool.parallel_for(static_cast<std::int64_t>(pairs.size()), [&](std::int64_t i, int) {
    const Pair& pair = pairs[static_cast<std::size_t>(i)];
    const Parameter& parameter = *pair.parameter;
    const std::vector<float> importance =
        statistics != nullptr ? statistics->importance(parameter.module(), parameter.cols)
                              : std::vector<float>{};
    errors[static_cast<std::size_t>(i)] = {
        .layer = parameter.layer,
        .role = std::string(short_role(parameter.role)),
        .format = pair.artefact.encoding(),
        .relative_rmse = relative_rmse(pair.reference, pair.artefact, importance, sample_rows)};
  });
  return errors;
}

}  // namespace quantlane
