#include "formats/groups/fp4.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/half.h"
#include "formats/block_encoders.h"
#include "formats/block_values.h"
#include "formats/scale_storage.h"

namespace quantlane {
namespace {

constexpr float kLargestE2M1 = 6.0F;
constexpr int kLargestExponent = 2;  // 6 = 1.5 * 2^2
// What compressed-tensors stores for a group that is all zero or too small for any E4M3 scale.
constexpr float kScaleOfNothing = 0.125F;

bool holds(const Scheme& scheme) {
  const bool grouped =
      (scheme.granularity != Granularity::kGroup && scheme.granularity != Granularity::kBlock) ||
      scheme.group_size > 0;
  return scheme.type == ValueType::kFloat && scheme.bits == 4 && is_float(scheme.scale_dtype) &&
         grouped && scheme.symmetric && scheme.granularity != Granularity::kToken;
}

GroupParams fit_absmax(std::span<const float> values, const Scheme& scheme) {
  const float largest = largest_magnitude(values.data(), static_cast<int>(values.size()));
  if (scheme.scale_dtype == DType::kF8E8M0) {
    return {.scale = shared_power_of_two(largest, kLargestExponent)};
  }
  const float scale = largest / kLargestE2M1;
  if (scheme.scale_dtype == DType::kF8E4M3 && f32_to_e4m3(scale) == 0) {
    return {.scale = kScaleOfNothing};
  }
  return {.scale = storable_scale(scale, scheme.scale_dtype)};
}

// The candidate scales of a search, as stored: neighbours of `start` where there are few, else a
// grid from clipping a third of the range to leaving a fifth unused.
void candidate_scales(float start, DType dtype, Lanes& scale) {
  for (int l = 0; l < kLanes; ++l) {
    float candidate = 0;
    if (dtype == DType::kF8E4M3) {
      // Eight codes are an octave.
      const int code = static_cast<int>(f32_to_e4m3(start)) - 11 + l;
      candidate = e4m3_to_f32(static_cast<std::uint8_t>(std::clamp(code, 1, 0x7E)));
    } else if (dtype == DType::kF8E8M0) {
      candidate = storable_scale(std::ldexp(start, l % 4 - 2), dtype);
    } else {
      candidate = storable_scale(start * (0.66F + 0.036F * static_cast<float>(l)), dtype);
    }
    scale.v[l] = candidate;
  }
}

GroupParams fit_weighted(std::span<const float> values, std::span<const float> importance,
                         const Scheme& scheme) {
  const GroupParams start = fit_absmax(values, scheme);
  const int count = static_cast<int>(values.size());
  const float largest = largest_magnitude(values.data(), count);
  if (!(largest >= 0x1p-110F)) return start;
  const float unit = power_of_two_below(largest);
  std::vector<float> x(values.size());
  std::vector<float> w(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) x[i] = values[i] * inverse_power_of_two(unit);
  importance_weights(importance.empty() ? nullptr : importance.data(), count, w.data());
  Lanes stored;
  candidate_scales(start.scale, scheme.scale_dtype, stored);
  stored.v[kLanes - 1] = start.scale;
  Lanes scale;
  Lanes error;
  for (int l = 0; l < kLanes; ++l) scale.v[l] = stored.v[l] * inverse_power_of_two(unit);
  block_encoders().e2m1_errors(x.data(), w.data(), count, scale, error);
  return {.scale = stored.v[index_of_smallest(error)]};
}

void project(std::span<const float> values, GroupParams params, const Scheme& /*scheme*/,
             std::int8_t* codes) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    codes[i] = static_cast<std::int8_t>(f32_to_e2m1(values[i] / params.scale));
  }
}

void decode(const std::int8_t* codes, std::int64_t count, GroupParams params,
            const Scheme& /*scheme*/, float* values) {
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = e2m1_to_f32(static_cast<std::uint8_t>(codes[i])) * params.scale;
  }
}

}  // namespace

const GroupFormat kFp4E2M1{.name = "fp4_e2m1",
                           .type = ValueType::kFloat,
                           .holds = holds,
                           .fit_absmax = fit_absmax,
                           .fit_weighted = fit_weighted,
                           .project = project,
                           .decode = decode};

}  // namespace quantlane
