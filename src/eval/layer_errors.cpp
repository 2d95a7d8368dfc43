#include "eval/layer_errors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

#include "core/check.h"
#include "core/evenly_spaced.h"

namespace quantlane {
std::string_view linear_name(Role role) {
  constexpr std::array<std::string_view, 8> kNames = {"q",    "k",  "v",    "o",
                                                      "gate", "up", "down", "head"};
  return kNames[static_cast<std::size_t>(role) - static_cast<std::size_t>(Role::kQuery)];
}

double relative_rmse(std::span<const float> reference, std::span<const float> artefact) {
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double w = static_cast<double>(reference[i]);
    const double d = static_cast<double>(artefact[i]) - w;
    error += d * d;
    norm += w * w;
  }
  return norm > 0 ? std::sqrt(error / norm) : 0;
}

namespace {

// The two sums of the relative RMSE.
struct Sums {
  double error = 0;
  double norm = 0;
};

Sums compare_rows(const Weight& reference, const Weight& artefact,
                  const std::vector<float>& importance, std::int64_t sample_rows) {
  const std::int64_t cols = reference.cols();
  std::vector<float> a(static_cast<std::size_t>(cols));
  std::vector<float> b(static_cast<std::size_t>(cols));
  Sums sums;
  for (const std::int64_t row : evenly_spaced(reference.rows(), sample_rows)) {
    reference.decode_rows(row, 1, a.data());
    artefact.decode_rows(row, 1, b.data());
    for (std::size_t c = 0; c < a.size(); ++c) {
      const double h = importance.empty() ? 1.0 : static_cast<double>(importance[c]);
      const double w = static_cast<double>(a[c]);
      const double d = static_cast<double>(b[c]) - w;
      sums.error += h * d * d;
      sums.norm += h * w * w;
    }
  }
  return sums;
}

// The gains of norms in `artefact` are those of `reference`, rounded at most.
Result<bool> keeps_norms(const Checkpoint& reference, const Checkpoint& artefact) {
  constexpr double kRounding = 0.01;
  for (const Parameter& norm : reference.graph()->parameters) {
    if (!is_norm(norm.role)) continue;
    const Parameter* other = artefact.graph()->find(norm.role, norm.layer);
    if (other == nullptr || other->cols != norm.cols) return false;
    QUANTLANE_TRY(const std::vector<float> a, reference.norm_gains(norm));
    QUANTLANE_TRY(const std::vector<float> b, artefact.norm_gains(*other));
    if (relative_rmse(a, b) > kRounding) return false;
  }
  return true;
}

struct Pair {
  const Parameter* parameter;
  Weight reference;
  Weight artefact;
};

// The Linears of one layer that both have; -1: those outside.
Result<std::vector<Pair>> pairs_of(const Checkpoint& reference, const Checkpoint& artefact,
                                   std::int64_t layer) {
  std::vector<Pair> pairs;
  for (const Parameter& parameter : reference.graph()->parameters) {
    if (parameter.layer != layer || !is_linear(parameter.role)) continue;
    const Parameter* other =
        artefact.graph()->find(parameter.role, parameter.layer, parameter.expert);
    if (other == nullptr || other->rows != parameter.rows || other->cols != parameter.cols)
      continue;
    QUANTLANE_TRY(Weight a, reference.weight(parameter));
    QUANTLANE_TRY(Weight b, artefact.weight(*other));
    pairs.push_back({.parameter = &parameter, .reference = std::move(a), .artefact = std::move(b)});
  }
  return pairs;
}

// Of the matrices of one layer: one row for each Linear, and one for all experts.
std::vector<LayerError> rows_of(const std::vector<Pair>& pairs, const std::vector<Sums>& sums) {
  std::vector<LayerError> rows;
  std::vector<Sums> totals;
  std::map<Role, std::size_t> index;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const Parameter& p = *pairs[i].parameter;
    const auto [at, is_new] = index.try_emplace(p.role, rows.size());
    if (is_new) {
      rows.push_back({.layer = p.layer,
                      .role = std::string(linear_name(p.role)),
                      .format = pairs[i].artefact.encoding(),
                      .relative_rmse = 0});
      totals.emplace_back();
    }
    totals[at->second].error += sums[i].error;
    totals[at->second].norm += sums[i].norm;
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Sums& total = totals[i];
    rows[i].relative_rmse = total.norm > 0 ? std::sqrt(total.error / total.norm) : 0;
  }
  return rows;
}

}  // namespace

Result<std::vector<LayerError>> measure_layer_errors(const Checkpoint& reference,
                                                     const Checkpoint& artefact,
                                                     const Statistics* statistics,
                                                     std::int64_t sample_rows, ThreadPool& pool) {
  QUANTLANE_TRY(const bool same_norms, keeps_norms(reference, artefact));
  if (!same_norms) return std::vector<LayerError>{};
  // The order of the graph: layers where they first come.
  std::vector<std::int64_t> layers;
  for (const Parameter& p : reference.graph()->parameters) {
    if (is_linear(p.role) && std::ranges::find(layers, p.layer) == layers.end())
      layers.push_back(p.layer);
  }
  std::vector<LayerError> rows;
  for (const std::int64_t layer : layers) {
    QUANTLANE_TRY(const std::vector<Pair> pairs, pairs_of(reference, artefact, layer));
    std::vector<Sums> sums(pairs.size());
    pool.parallel_for(static_cast<std::int64_t>(pairs.size()), [&](std::int64_t i, int) {
      const Pair& pair = pairs[static_cast<std::size_t>(i)];
      const Parameter& parameter = *pair.parameter;
      const std::vector<float> importance =
          statistics != nullptr ? statistics->importance(parameter.module(), parameter.cols)
                                : std::vector<float>{};
      sums[static_cast<std::size_t>(i)] =
          compare_rows(pair.reference, pair.artefact, importance, sample_rows);
    });
    std::ranges::move(rows_of(pairs, sums), std::back_inserter(rows));
    reference.drop_layer(layer);
    artefact.drop_layer(layer);
  }
  constexpr double kOfZeros = 1.1;  // zeros have 1
  const auto is_other = [](const LayerError& row) { return row.relative_rmse > kOfZeros; };
  if (std::ranges::any_of(rows, is_other)) rows.clear();
  return rows;
}

}  // namespace quantlane
