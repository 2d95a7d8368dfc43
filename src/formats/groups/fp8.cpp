#include "formats/groups/fp8.h"

#include <vector>

#include "core/half.h"
#include "formats/block_encoders.h"
#include "formats/block_values.h"
#include "formats/scale_storage.h"

namespace quantlane {
namespace {

constexpr float kLargestE4M3 = 448.0F;
constexpr int kLargestExponent = 8;  // 448 = 1.75 * 2^8

bool holds(const Scheme& scheme) {
  const bool scaled = scheme.scale_dtype == DType::kBF16 || scheme.scale_dtype == DType::kF16 ||
                      scheme.scale_dtype == DType::kF32 || scheme.scale_dtype == DType::kF8E8M0;
  const bool grouped =
      (scheme.granularity != Granularity::kGroup && scheme.granularity != Granularity::kBlock) ||
      scheme.group_size > 0;
  return scheme.type == ValueType::kFloat && scheme.bits == 8 && scaled && grouped &&
         scheme.symmetric && scheme.tensor_scale == TensorScale::kNone &&
         scheme.granularity != Granularity::kToken;
}

GroupParams fit_absmax(std::span<const float> values, const Scheme& scheme) {
  const float largest = largest_magnitude(values.data(), static_cast<int>(values.size()));
  if (scheme.scale_dtype == DType::kF8E8M0) {
    return {.scale = shared_power_of_two(largest, kLargestExponent)};
  }
  return {.scale = storable_scale(largest / kLargestE4M3, scheme.scale_dtype)};
}

GroupParams fit_weighted(std::span<const float> values, std::span<const float> importance,
                         const Scheme& scheme) {
  const GroupParams start = fit_absmax(values, scheme);
  const int count = static_cast<int>(values.size());
  const float largest = largest_magnitude(values.data(), count);
  // A power of two moves the range of the codes and hardly their steps: nothing to search.
  if (!(largest >= 0x1p-110F) || scheme.scale_dtype == DType::kF8E8M0) return start;
  const float unit = power_of_two_below(largest);
  std::vector<float> x(values.size());
  std::vector<float> w(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) x[i] = values[i] * inverse_power_of_two(unit);
  importance_weights(importance.empty() ? nullptr : importance.data(), count, w.data());
  // One octave above the smallest scale that clips nothing: a factor of 2 changes the subnormals
  // only. The lanes below 1 clip the largest value a little.
  Lanes scale;
  Lanes error;
  for (int l = 0; l < kLanes; ++l) {
    const float factor = 0.9375F + 0.0625F * static_cast<float>(l);
    scale.v[l] = storable_scale(start.scale * factor, scheme.scale_dtype) / unit;
  }
  scale.v[1] = start.scale / unit;
  block_encoders().e4m3_errors(x.data(), w.data(), count, scale, error);
  return {.scale = scale.v[index_of_smallest(error)] * unit};
}

void project(std::span<const float> values, GroupParams params, const Scheme& /*scheme*/,
             std::int8_t* codes) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    codes[i] = static_cast<std::int8_t>(f32_to_e4m3(values[i] / params.scale));
  }
}

void decode(const std::int8_t* codes, std::int64_t count, GroupParams params,
            const Scheme& /*scheme*/, float* values) {
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = e4m3_to_f32(static_cast<std::uint8_t>(codes[i])) * params.scale;
  }
}

}  // namespace

const GroupFormat kFp8E4M3{.name = "fp8_e4m3",
                           .type = ValueType::kFloat,
                           .holds = holds,
                           .fit_absmax = fit_absmax,
                           .fit_weighted = fit_weighted,
                           .project = project,
                           .decode = decode};

}  // namespace quantlane
