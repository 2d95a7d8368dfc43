#include "quantize/algorithms/block_settler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "core/half.h"
#include "formats/block_encoders.h"
#include "kernels/feedback.h"

namespace quantlane {
namespace {

constexpr int kRounds = 2;  // of settling a block, the factors refitted between

float as_f16(double value) {
  return f16_to_f32(f32_to_f16(static_cast<float>(std::clamp(value, -65504.0, 65504.0))));
}

BlockMoments moments_of(const float* x, const float* w, int count) {
  BlockMoments moments{.low = x[0], .high = x[0], .weight = 0, .mean = 0};
  for (int i = 0; i < count; ++i) {
    moments.low = std::min(moments.low, x[i]);
    moments.high = std::max(moments.high, x[i]);
    moments.weight += w[i];
    moments.mean += w[i] * x[i];
  }
  moments.mean /= moments.weight;
  return moments;
}

// First of four neighbouring integers around real / unit, all within 0..high.
float first_of_four(float real, float unit, float high) {
  if (!(unit > 0)) return 0;
  return std::clamp(std::nearbyint(real / unit - 1.5F), 0.0F, high - 3.0F);
}

// The candidate that costs least.
AffineFit cheapest(const FeedbackColumns& columns, const Lanes& scale, const Lanes& minimum,
                   int& best) {
  Lanes cost;
  block_encoders().feedback_costs(columns, scale, minimum, cost);
  best = static_cast<int>(std::min_element(cost.v, cost.v + kLanes) - cost.v);
  return {.scale = scale.v[best], .minimum = minimum.v[best]};
}

// Scales and minimums around `fit`, with the feedback that its search did without.
AffineFit improve(const FeedbackColumns& columns, float lowest, AffineFit fit) {
  constexpr float kStretches[] = {-2, -1, 1, 2};
  const float stretch = columns.levels.high > 7 ? 0.03F : 0.06F;
  Lanes scale;
  Lanes minimum;
  for (int l = 0; l < kLanes; ++l) {
    const float shift = 0.4F * (static_cast<float>(l / 4) - 1.5F);
    scale.v[l] = fit.scale * (1.0F + stretch * kStretches[l % 4]);
    minimum.v[l] = std::max(lowest, fit.minimum + shift * fit.scale);
  }
  scale.v[kLanes - 1] = fit.scale;
  minimum.v[kLanes - 1] = fit.minimum;
  int best = 0;
  return cheapest(columns, scale, minimum, best);
}

}  // namespace

BlockSettler::BlockSettler(const BlockFormat& format, const ErrorFeedback& feedback)
    : format_(format), grid_(*format.grid), feedback_(feedback) {
  for (std::int64_t j = 0; j < feedback.cols; ++j) {
    inverse_.push_back(1.0F / feedback.upper[static_cast<std::size_t>(j * feedback.cols + j)]);
    weights_.push_back(inverse_.back() * inverse_.back());
  }
}

SettledBlock BlockSettler::settle(std::span<const float> values, std::int64_t begin) const {
  std::vector<std::byte> bytes(static_cast<std::size_t>(format_.block_bytes));
  format_.encode(values,
                 std::span(weights_).subspan(static_cast<std::size_t>(begin), values.size()),
                 bytes.data());
  SettledBlock block;
  grid_.take_apart(bytes.data(), block.parts);
  settle_under_factors(values, begin, block);
  SettledBlock best = block;
  for (int round = 1; round < kRounds && refit_factors(values, begin, block.parts); ++round) {
    settle_under_factors(values, begin, block);
    if (block.cost < best.cost) best = block;
  }
  descend(values, begin, best);
  return best;
}

// The metric (U U^T)^-1 of the block's part U of the triangle, from the rows of U^-1.
void BlockSettler::start_block(std::int64_t begin) {
  const auto n = static_cast<std::size_t>(format_.block_values);
  std::vector<double> inverse(n * n);  // upper triangular
  for (std::size_t i = 0; i < n; ++i) {
    double* row = inverse.data() + i * n;
    row[i] = 1;
    for (std::size_t j = i; j < n; ++j) {
      const auto column = static_cast<std::size_t>(begin) + j;
      const float* upper = feedback_.upper.data() +
                           column * static_cast<std::size_t>(feedback_.cols) +
                           static_cast<std::size_t>(begin);
      row[j] *= static_cast<double>(inverse_[column]);
      for (std::size_t k = j + 1; k < n; ++k) row[k] -= row[j] * static_cast<double>(upper[k]);
    }
  }
  metric_.resize(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k <= i; ++k) {
      double sum = 0;
      for (std::size_t j = i; j < n; ++j) sum += inverse[i * n + j] * inverse[k * n + j];
      metric_[i * n + k] = metric_[k * n + i] = static_cast<float>(sum);
    }
  }
}

// Changes codes one at a time while that lowers the block's cost.
void BlockSettler::descend(std::span<const float> values, std::int64_t begin,
                           SettledBlock& block) const {
  constexpr int kSweeps = 16;  // a bound: few blocks change in the fourth
  const int n = format_.block_values;
  BlockParts& parts = block.parts;
  float rest[kMostBlockValues];  // values - decoded
  for (int i = 0; i < n; ++i) {
    const int sub = i / grid_.sub_values;
    rest[i] = values[static_cast<std::size_t>(i)] -
              (parts.d * static_cast<float>(parts.scales[sub]) * level_of(grid_, parts.codes[i]) -
               parts.dmin * static_cast<float>(parts.minimums[sub]));
  }
  float push[kMostBlockValues] = {};  // - rest * metric
  kernels::feedback_spread(rest, 1, n, metric_.data(), n, push, n, n);
  bool changed = true;
  for (int sweep = 0; sweep < kSweeps && changed; ++sweep) {
    changed = false;
    for (int i = 0; i < n; ++i) {
      const int sub = i / grid_.sub_values;
      const float scale = parts.d * static_cast<float>(parts.scales[sub]);
      const float* row = metric_.data() + static_cast<std::ptrdiff_t>(i) * n;
      if (scale == 0.0F) continue;
      const float now = level_of(grid_, parts.codes[i]);
      const int code = code_near(grid_, now - push[i] / (row[i] * scale));
      if (code == parts.codes[i]) continue;
      const float change = scale * (now - level_of(grid_, code));  // of rest
      if (!(change * (change * row[i] - 2.0F * push[i]) < 0)) continue;
      parts.codes[i] = static_cast<std::uint8_t>(code);
      rest[i] += change;
      kernels::feedback_spread(&change, 1, 1, row, n, push, n, n);
      changed = true;
    }
  }
  block.cost = 0;
  for (int i = 0; i < n; ++i) {
    const std::int64_t column = begin + i;
    const float* upper = feedback_.upper.data() + column * feedback_.cols + begin;
    const float error = rest[i] * inverse_[static_cast<std::size_t>(column)];
    block.errors[i] = error;
    block.cost += static_cast<double>(error) * static_cast<double>(error);
    for (int k = i + 1; k < n; ++k) rest[k] -= error * upper[k];
  }
}

void BlockSettler::settle_under_factors(std::span<const float> values, std::int64_t begin,
                                        SettledBlock& block) const {
  float x[kMostBlockValues];
  std::ranges::copy(values, x);
  const int n = format_.block_values;
  const int count = grid_.sub_values;
  BlockParts& parts = block.parts;
  block.cost = 0;
  for (int first = 0; first < n; first += count) {
    const std::int64_t column = begin + first;
    const float* upper = feedback_.upper.data() + column * feedback_.cols + column;
    const FeedbackColumns columns{.x = x + first,
                                  .upper = upper,
                                  .stride = feedback_.cols,
                                  .inverse = inverse_.data() + column,
                                  .count = count,
                                  .levels = grid_.levels,
                                  .non_linear = grid_.non_linear};
    const int sub = first / count;
    if (grid_.has_minimums()) {
      choose_scale_and_minimum(columns, column, sub, parts);
    } else {
      choose_scale(columns, sub, parts);
    }
    const AffineFit fit{.scale = parts.d * static_cast<float>(parts.scales[sub]),
                        .minimum = parts.dmin * static_cast<float>(parts.minimums[sub])};
    float* errors = block.errors + first;
    block.cost += static_cast<double>(
        block_encoders().feedback_codes(columns, fit, parts.codes + first, errors));
    const int rest = n - first - count;
    kernels::feedback_spread(errors, 1, count, upper + count, feedback_.cols, x + first + count,
                             rest, rest);
  }
}

// Without minimums: candidates that put the extreme value at and around either end of the codes,
// then the neighbourhood of the best, then the integers around that.
void BlockSettler::choose_scale(const FeedbackColumns& columns, int sub, BlockParts& parts) const {
  float extreme = 0;
  for (int i = 0; i < columns.count; ++i) {
    if (std::abs(columns.x[i]) > std::abs(extreme)) extreme = columns.x[i];
  }
  const Lanes none{};
  Lanes scale;
  int best = 0;
  float found = 0;
  if (extreme != 0.0F) {
    for (int l = 0; l < kLanes / 2; ++l) {
      const float stretch = 1.0F + (static_cast<float>(l) - 2.0F) * 0.06F;
      scale.v[l] = extreme / (stretch * grid_.levels.low);
      scale.v[l + kLanes / 2] = extreme / (stretch * (grid_.levels.high + 0.5F));
    }
    found = cheapest(columns, scale, none, best).scale;
    for (int l = 0; l < kLanes; ++l)
      scale.v[l] = found * (1.0F + 0.006F * static_cast<float>(l - kLanes / 2));
    found = cheapest(columns, scale, none, best).scale;
  }
  if (grid_.scales.low == grid_.scales.high) {
    parts.d = as_f16(static_cast<double>(found));
    return;
  }
  const auto integer = [&](float value) {
    return std::clamp(std::nearbyint(value), grid_.scales.low, grid_.scales.high);
  };
  const float centre = parts.d == 0.0F ? 0.0F : integer(found / parts.d);
  for (int l = 0; l < kLanes; ++l)
    scale.v[l] = parts.d * integer(centre + static_cast<float>(l - kLanes / 2));
  cheapest(columns, scale, none, best);
  parts.scales[sub] = static_cast<int>(integer(centre + static_cast<float>(best - kLanes / 2)));
}

void BlockSettler::choose_scale_and_minimum(const FeedbackColumns& columns, std::int64_t column,
                                            int sub, BlockParts& parts) const {
  constexpr int kRefinements = 2;
  const bool own_factors = grid_.scales.low == grid_.scales.high;
  const float lowest = own_factors ? -1e30F : 0.0F;
  const float* w = weights_.data() + column;
  float centred[kMostFeedbackColumns];
  const AffineFit start = block_encoders().search_affine(
      columns.x, w, columns.count, moments_of(columns.x, w, columns.count), grid_.levels.high,
      lowest, kRefinements, centred);
  const AffineFit fit = improve(columns, lowest, start);
  if (own_factors) {
    parts.d = as_f16(static_cast<double>(fit.scale));
    parts.dmin = as_f16(static_cast<double>(fit.minimum));
    return;
  }
  const float scale_first = first_of_four(fit.scale, parts.d, grid_.scales.high);
  const float min_first = first_of_four(fit.minimum, parts.dmin, grid_.high_minimum);
  Lanes scale;
  Lanes minimum;
  for (int l = 0; l < kLanes; ++l) {
    scale.v[l] = parts.d * (scale_first + static_cast<float>(l % 4));
    minimum.v[l] = parts.dmin * (min_first + static_cast<float>(l / 4));
  }
  int best = 0;
  cheapest(columns, scale, minimum, best);
  parts.scales[sub] = static_cast<int>(scale_first) + best % 4;
  parts.minimums[sub] = static_cast<int>(min_first) + best / 4;
}

// The least-squares d and dmin for the integers and codes of `parts`; false where they stay. The
// block's cost is |(values - d a + dmin b) U^-1|^2 with U the block's part of the triangle.
bool BlockSettler::refit_factors(std::span<const float> values, std::int64_t begin,
                                 BlockParts& parts) const {
  const int n = format_.block_values;
  float rows[3][kMostBlockValues];  // values, a, b; then divided by U
  for (int i = 0; i < n; ++i) {
    const int sub = i / grid_.sub_values;
    rows[0][i] = values[static_cast<std::size_t>(i)];
    rows[1][i] = static_cast<float>(parts.scales[sub]) * level_of(grid_, parts.codes[i]);
    rows[2][i] = static_cast<float>(parts.minimums[sub]);
  }
  for (int i = 0; i < n; ++i) {
    const std::int64_t column = begin + i;
    const float* upper = feedback_.upper.data() + column * feedback_.cols + begin;
    for (auto& row : rows) {
      row[i] *= inverse_[static_cast<std::size_t>(column)];
      for (int k = i + 1; k < n; ++k) row[k] -= row[i] * upper[k];
    }
  }
  const auto product = [&](int a, int b) {
    double sum = 0;
    for (int i = 0; i < n; ++i)
      sum += static_cast<double>(rows[a][i]) * static_cast<double>(rows[b][i]);
    return sum;
  };
  const double aa = product(1, 1);
  const double bb = product(2, 2);
  const double ab = product(1, 2);
  if (!(aa > 0)) return false;
  double d = (product(0, 1) + static_cast<double>(parts.dmin) * ab) / aa;
  double dmin = static_cast<double>(parts.dmin);
  const double determinant = aa * bb - ab * ab;
  if (determinant > 1e-9 * aa * bb) {
    d = (product(0, 1) * bb - product(0, 2) * ab) / determinant;
    dmin = (product(0, 1) * ab - product(0, 2) * aa) / determinant;
  }
  const float next_d = as_f16(d);
  float next_dmin = as_f16(dmin);
  if (grid_.high_minimum > 1 && !(next_dmin > 0)) next_dmin = parts.dmin;
  if (next_d == 0.0F || (next_d == parts.d && next_dmin == parts.dmin)) return false;
  parts.d = next_d;
  parts.dmin = next_dmin;
  return true;
}

}  // namespace quantlane
