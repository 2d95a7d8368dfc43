// Codes of a run of columns chosen one after another, each after the errors of those before it
// (GPTQ), under sixteen candidate scales at once: what a scale costs is then known exactly.
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/feedback_columns.h"
#include "formats/fp4_and_nl_codes.h"
#include "formats/search/candidate_sums.h"

namespace quantlane {
namespace {

// cost = sum of the squared errors, each in units of what it cannot be made up for by later
// columns.
template <class Codes>
inline void feedback_costs_of(const FeedbackColumns& columns, const Lanes& scale,
                              const Lanes& minimum, const Codes& codes, Lanes& cost) {
  const int count = columns.count;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector step = load_lanes(scale.v + h);
    const LaneVector shift = load_lanes(minimum.v + h);
    const LaneVector factor = step == 0.0F ? LaneVector{} : 1.0F / step;
    LaneVector x[kMostFeedbackColumns];
    for (int j = 0; j < count; ++j) x[j] = LaneVector{} + columns.x[j];
    LaneVector sum{};
    for (int j = 0; j < count; ++j) {
      const LaneVector shifted = x[j] + shift;
      const LaneVector q = nearest_code(shifted * factor, codes);
      const LaneVector error = (shifted - step * q) * columns.inverse[j];
      sum += error * error;
      const float* upper = columns.upper + j * columns.stride;
      for (int k = j + 1; k < count; ++k) x[k] -= error * upper[k];
    }
    store_lanes(sum, cost.v + h);
  }
}

// The same for one scale and minimum: codes as stored (from 0), and the errors that the columns
// after these have to make up for. Returns the cost.
template <class Codes>
inline float feedback_codes_of(const FeedbackColumns& columns, AffineFit fit, const Codes& codes,
                               unsigned char* stored, float* errors) {
  const int count = columns.count;
  const float factor = fit.scale == 0.0F ? 0.0F : 1.0F / fit.scale;
  float x[kMostFeedbackColumns];
  for (int j = 0; j < count; ++j) x[j] = columns.x[j];
  float sum = 0;
  for (int j = 0; j < count; ++j) {
    const float shifted = x[j] + fit.minimum;
    const int index = nearest_index(shifted * factor, codes);
    stored[j] = static_cast<unsigned char>(index);
    errors[j] = (shifted - fit.scale * code_value(index, codes)) * columns.inverse[j];
    sum += errors[j] * errors[j];
    const float* upper = columns.upper + j * columns.stride;
    for (int k = j + 1; k < count; ++k) x[k] -= errors[j] * upper[k];
  }
  return sum;
}

inline void feedback_costs(const FeedbackColumns& columns, const Lanes& scale, const Lanes& minimum,
                           Lanes& cost) {
  if (columns.non_linear) {
    feedback_costs_of(columns, scale, minimum, NonLinearCodes{}, cost);
  } else {
    feedback_costs_of(columns, scale, minimum, columns.levels, cost);
  }
}
inline float feedback_codes(const FeedbackColumns& columns, AffineFit fit, unsigned char* stored,
                            float* errors) {
  return columns.non_linear ? feedback_codes_of(columns, fit, NonLinearCodes{}, stored, errors)
                            : feedback_codes_of(columns, fit, columns.levels, stored, errors);
}

}  // namespace
}  // namespace quantlane
