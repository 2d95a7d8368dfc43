#include "formats/groups/int_group.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "formats/block_encoders.h"
#include "formats/scale_storage.h"
#include "formats/search/symmetric_search.h"

namespace quantlane {
namespace {

// Half of the number of steps: what compressed-tensors divides the largest magnitude by.
float half_steps(int bits) { return static_cast<float>((1 << bits) - 1) / 2.0F; }

CodeRange code_range(const Scheme& scheme) {
  const auto levels = static_cast<float>(1 << scheme.bits);
  if (scheme.symmetric) return {.low = -levels / 2, .high = levels / 2 - 1};
  return {.low = 0, .high = levels - 1};
}

bool holds(const Scheme& scheme) {
  const bool scaled = scheme.scale_dtype == DType::kBF16 || scheme.scale_dtype == DType::kF16 ||
                      scheme.scale_dtype == DType::kF32;
  const bool grouped = scheme.granularity != Granularity::kGroup || scheme.group_size > 0;
  return scheme.type == ValueType::kInt && scheme.bits >= 2 && scheme.bits <= 8 && scaled &&
         grouped && scheme.tensor_scale == TensorScale::kNone &&
         scheme.granularity != Granularity::kToken && scheme.granularity != Granularity::kBlock;
}

// Nearest zero point of an asymmetric group whose smallest value is -minimum.
float zero_point(float minimum, float scale, float high) {
  const float zero = std::clamp(minimum / scale, 0.0F, high);
  return round_half_even(zero);
}

GroupParams fit_absmax(std::span<const float> values, const Scheme& scheme) {
  const int count = static_cast<int>(values.size());
  if (scheme.symmetric) {
    const float largest = largest_magnitude(values.data(), count);
    return {.scale = storable_scale(largest / half_steps(scheme.bits), scheme.scale_dtype)};
  }
  float low = 0;
  float high = 0;
  for (const float value : values) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const float steps = code_range(scheme).high;
  // The difference of two finite values may overflow; the sum of the two quotients does not.
  const float range = high - low;
  const float scale = std::isfinite(range) ? range / steps : high / steps - low / steps;
  GroupParams params{.scale = storable_scale(scale, scheme.scale_dtype)};
  params.zero = zero_point(-low, params.scale, steps);
  return params;
}

// A group brought to the range of 1, with its weights.
struct PreparedGroup {
  std::vector<float> x;
  std::vector<float> w;
  float unit = 0;
};

PreparedGroup prepare(std::span<const float> values, std::span<const float> importance) {
  PreparedGroup group{.x = std::vector<float>(values.size()),
                      .w = std::vector<float>(values.size())};
  const int count = static_cast<int>(values.size());
  const float largest = largest_magnitude(values.data(), count);
  if (!(largest >= 0x1p-120F)) return group;
  group.unit = power_of_two_below(largest);
  const float inverse = inverse_power_of_two(group.unit);
  for (std::size_t i = 0; i < values.size(); ++i) group.x[i] = values[i] * inverse;
  importance_weights(importance.empty() ? nullptr : importance.data(), count, group.w.data());
  return group;
}

// Scales of the candidates as stored, in units of the group.
void store_scales(Lanes& scales, float unit, DType dtype) {
  for (float& scale : scales.v) scale = storable_scale(scale * unit, dtype) / unit;
}

// Three passes over the group: a grid of shrink factors with the least-squares scale of each, a
// finer grid around the best, then exact errors of the storable scales around that and of `start`.
GroupParams fit_symmetric(const PreparedGroup& group, GroupParams start, const Scheme& scheme) {
  const CodeRange range = code_range(scheme);
  const int count = static_cast<int>(group.x.size());
  const float first = group.unit / start.scale;
  // How far clipping may pay off, from the optimal uniform quantizers of a Gaussian (Max 1960):
  // the fewer levels, the further.
  const float reach = scheme.bits <= 2 ? 1.4F : scheme.bits == 3 ? 0.9F : 0.6F;
  Lanes inverse;
  Lanes xq;
  Lanes qq;
  for (int l = 0; l < kLanes; ++l) {
    inverse.v[l] = first * (0.95F + reach * static_cast<float>(l) / (kLanes - 1));
  }
  block_encoders().symmetric_sums(group.x.data(), group.w.data(), count, inverse, range, xq, qq);
  float found = best_explained_scale(xq, qq);
  if (!(found > 0)) return start;
  for (int l = 0; l < kLanes; ++l) {
    inverse.v[l] = (1.0F + 0.07F * reach * (static_cast<float>(l) / 7.5F - 1.0F)) / found;
  }
  block_encoders().symmetric_sums(group.x.data(), group.w.data(), count, inverse, range, xq, qq);
  found = best_explained_scale(xq, qq);
  Lanes scale;
  Lanes error;
  for (int l = 0; l < kLanes; ++l) {
    scale.v[l] = found * (1.0F + 0.002F * static_cast<float>(l - kLanes / 2));
  }
  scale.v[0] = start.scale / group.unit;
  store_scales(scale, group.unit, scheme.scale_dtype);
  block_encoders().symmetric_errors(group.x.data(), group.w.data(), count, scale, range, error, xq,
                                    qq);
  return {.scale = scale.v[index_of_smallest(error)] * group.unit};
}

// A search over pairs of scale and zero, then exact errors of the storable scales around what it
// found, and of what is known: `start`, and `middle` with the zero in the middle of the codes.
GroupParams fit_asymmetric(const PreparedGroup& group, GroupParams start, GroupParams middle,
                           const Scheme& scheme) {
  const float high = code_range(scheme).high;
  const int count = static_cast<int>(group.x.size());
  // With many codes hardly any step of the ends changes them: only further ones differ.
  const float reach = scheme.bits > 5 ? 4.0F : 1.0F;
  const ZeroPointFit found =
      block_encoders().search_zero_point(group.x.data(), group.w.data(), count, high, reach);
  Lanes scale;
  Lanes zero;
  Lanes error;
  for (int l = 0; l < kLanes; ++l) {
    scale.v[l] = found.scale * (1.0F + 0.004F * static_cast<float>(l - kLanes / 2));
    zero.v[l] = found.zero;
  }
  scale.v[0] = start.scale / group.unit;
  zero.v[0] = start.zero;
  scale.v[1] = middle.scale / group.unit;
  zero.v[1] = middle.zero;
  store_scales(scale, group.unit, scheme.scale_dtype);
  block_encoders().zero_point_errors(group.x.data(), group.w.data(), count, scale, zero, high,
                                     error);
  const int lane = index_of_smallest(error);
  return {.scale = scale.v[lane] * group.unit, .zero = zero.v[lane]};
}

GroupParams fit_weighted(std::span<const float> values, std::span<const float> importance,
                         const Scheme& scheme) {
  const GroupParams start = fit_absmax(values, scheme);
  const PreparedGroup group = prepare(values, importance);
  if (group.unit == 0.0F) return start;
  if (scheme.symmetric) return fit_symmetric(group, start, scheme);
  // What the symmetric format of the same codes would take, so that a zero point never costs.
  Scheme symmetric = scheme;
  symmetric.symmetric = true;
  GroupParams middle = fit_symmetric(group, fit_absmax(values, symmetric), symmetric);
  middle.zero = -code_range(symmetric).low;
  return fit_asymmetric(group, start, middle, scheme);
}

void project(std::span<const float> values, GroupParams params, const Scheme& scheme,
             std::int8_t* codes) {
  const CodeRange range = code_range(scheme);
  // Clamped before rounding: the rounding below holds for magnitudes up to 2^22 only.
  const float low = range.low - params.zero;
  const float high = range.high - params.zero;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float step = std::clamp(values[i] / params.scale, low, high);
    codes[i] = static_cast<std::int8_t>(static_cast<int>(round_half_even(step) + params.zero));
  }
}

void decode(const std::int8_t* codes, std::int64_t count, GroupParams params, const Scheme& scheme,
            float* values) {
  if (scheme.symmetric) {
    for (std::int64_t i = 0; i < count; ++i) {
      values[i] = static_cast<float>(codes[i]) * params.scale;
    }
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const auto code = static_cast<float>(static_cast<std::uint8_t>(codes[i]));
    values[i] = (code - params.zero) * params.scale;
  }
}

}  // namespace

const GroupFormat kIntGroup{.name = "int",
                            .type = ValueType::kInt,
                            .holds = holds,
                            .fit_absmax = fit_absmax,
                            .fit_weighted = fit_weighted,
                            .project = project,
                            .decode = decode};

}  // namespace quantlane
