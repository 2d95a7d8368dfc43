#include "eval/lost_edits.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cancel.h"
#include "core/check.h"
#include "model/sampled_rows.h"

namespace quantlane {
namespace {

constexpr int kScalingRounds = 3;
// Of the squared norm: 2-bit formats leave 0.25, other weights 2.
constexpr double kExplained = 0.5;
// Standard deviations of what rounding adds to the difference by chance.
constexpr double kSure = 4;

// What `from` is best multiplied with to be `to`, of `count` values `step` apart.
double best_factor(const float* from, const float* to, std::int64_t count, std::int64_t step) {
  double product = 0;
  double square = 0;
  for (std::int64_t i = 0; i < count * step; i += step) {
    product += static_cast<double>(from[i]) * static_cast<double>(to[i]);
    square += static_cast<double>(from[i]) * static_cast<double>(from[i]);
  }
  return square > 0 ? product / square : 1;
}

void multiply(float* values, std::int64_t count, std::int64_t step, double factor) {
  for (std::int64_t i = 0; i < count * step; i += step)
    values[i] = static_cast<float>(static_cast<double>(values[i]) * factor);
}

// Rows and columns of `from` by turns, each under its best factor.
void scale_towards(SampledRows& from, const SampledRows& to) {
  for (int round = 0; round < kScalingRounds; ++round) {
    for (std::int64_t c = 0; c < from.cols; ++c) {
      float* column = from.values.data() + c;
      multiply(column, from.count, from.cols,
               best_factor(column, to.values.data() + c, from.count, from.cols));
    }
    for (std::int64_t r = 0; r < from.count; ++r)
      multiply(from.row(r), from.cols, 1, best_factor(from.row(r), to.row(r), from.cols, 1));
  }
}

struct Distances {
  double norm = 0;      // sums of squares: of the artefact,
  double base = 0;      // of what the base
  double edited = 0;    // and the edited model leave,
  double variance = 0;  // and what the difference of these varies by

  void add(const SampledRows& artefact, const SampledRows& before, const SampledRows& after) {
    for (std::size_t i = 0; i < artefact.values.size(); ++i) {
      const double value = static_cast<double>(artefact.values[i]);
      const double to_base = value - static_cast<double>(before.values[i]);
      const double to_edited = value - static_cast<double>(after.values[i]);
      const double rounding = std::min(std::abs(to_base), std::abs(to_edited));
      norm += value * value;
      base += to_base * to_base;
      edited += to_edited * to_edited;
      variance += std::pow(2 * rounding * (to_base - to_edited), 2);
    }
  }
};

}  // namespace

Result<MadeFrom> artefact_made_from(const Checkpoint& artefact, const Checkpoint& edited,
                                    const Checkpoint& base) {
  Distances sums;
  for (const Parameter& parameter : edited.graph()->parameters) {
    if (!is_block_linear(parameter.role) || !edited.edited(parameter)) continue;
    QUANTLANE_TRY_VOID(check_cancel("comparing an artefact with its base"));
    const Parameter* own =
        artefact.graph()->find(parameter.role, parameter.layer, parameter.expert);
    QUANTLANE_CHECK(own != nullptr);
    QUANTLANE_TRY(const Weight weight, artefact.weight(*own));
    QUANTLANE_TRY(const Weight before, base.weight(parameter));
    QUANTLANE_TRY(const Weight after, edited.weight(parameter));
    const SampledRows rows = sample_rows(weight);
    SampledRows of_base = sample_rows(before);
    SampledRows of_edited = sample_rows(after);
    scale_towards(of_base, rows);
    scale_towards(of_edited, rows);
    sums.add(rows, of_base, of_edited);
  }
  if (std::min(sums.base, sums.edited) > kExplained * sums.norm) return MadeFrom::kUnclear;
  const double nearer = sums.base - sums.edited;
  if (std::abs(nearer) <= kSure * std::sqrt(sums.variance)) return MadeFrom::kUnclear;
  return nearer > 0 ? MadeFrom::kEdited : MadeFrom::kBase;
}

}  // namespace quantlane
