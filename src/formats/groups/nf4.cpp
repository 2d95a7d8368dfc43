#include "formats/groups/nf4.h"

#include "formats/code_tables.h"
#include "formats/lanes.h"
#include "formats/scale_storage.h"

namespace quantlane {
namespace {

bool holds(const Scheme& scheme) {
  return scheme.type == ValueType::kNormalFloat && scheme.bits == 4 && scheme.symmetric &&
         scheme.tensor_scale == TensorScale::kNone && scheme.granularity == Granularity::kGroup &&
         scheme.group_size > 0 &&
         (scheme.scale_dtype == DType::kF32 || scheme.scale_dtype == DType::kF16 ||
          scheme.scale_dtype == DType::kBF16);
}

GroupParams fit_absmax(std::span<const float> values, const Scheme& scheme) {
  const float largest = largest_magnitude(values.data(), static_cast<int>(values.size()));
  return {.scale = storable_scale(largest, scheme.scale_dtype)};
}

std::size_t nearest(float value) {
  std::size_t code = 0;
  while (code < 15 && value > 0.5F * (kNf4Values[code] + kNf4Values[code + 1])) ++code;
  return code;
}

// Of the values over `unit`, so that squares neither overflow nor vanish.
double squared_error(std::span<const float> values, std::span<const float> importance, float scale,
                     float unit) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float decoded = kNf4Values[nearest(values[i] / scale)] * scale;
    const double difference = static_cast<double>(decoded) / static_cast<double>(unit) -
                              static_cast<double>(values[i]) / static_cast<double>(unit);
    sum +=
        (importance.empty() ? 1.0 : static_cast<double>(importance[i])) * difference * difference;
  }
  return sum;
}

GroupParams fit_weighted(std::span<const float> values, std::span<const float> importance,
                         const Scheme& scheme) {
  const GroupParams start = fit_absmax(values, scheme);
  GroupParams best = start;
  double best_error = squared_error(values, importance, start.scale, start.scale);
  // From clipping a fifth of the range to leaving some unused.
  for (int step = 0; step < 16; ++step) {
    const float factor = 0.8F + 0.02F * static_cast<float>(step);
    const float scale = storable_scale(start.scale * factor, scheme.scale_dtype);
    const double error = squared_error(values, importance, scale, start.scale);
    if (error < best_error) {
      best_error = error;
      best.scale = scale;
    }
  }
  return best;
}

void project(std::span<const float> values, GroupParams params, const Scheme& /*scheme*/,
             std::int8_t* codes) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    codes[i] = static_cast<std::int8_t>(nearest(values[i] / params.scale));
  }
}

void decode(const std::int8_t* codes, std::int64_t count, GroupParams params,
            const Scheme& /*scheme*/, float* values) {
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = kNf4Values[static_cast<std::uint8_t>(codes[i]) & 15U] * params.scale;
  }
}

}  // namespace

const GroupFormat kNf4{.name = "nf4",
                       .type = ValueType::kNormalFloat,
                       .holds = holds,
                       .fit_absmax = fit_absmax,
                       .fit_weighted = fit_weighted,
                       .project = project,
                       .decode = decode};

}  // namespace quantlane
