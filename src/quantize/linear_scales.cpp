#include "quantize/linear_scales.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/ceil_div.h"
#include "core/check.h"
#include "formats/group_format.h"
#include "formats/scale_storage.h"
#include "model/fused_linears.h"

namespace quantlane {
namespace {

constexpr float kLargestE4M3 = 448.0F;
constexpr float kLargestE2M1 = 6.0F;

// Values of one Linear that candidates are tried on.
constexpr std::int64_t kSampleValues = std::int64_t{1} << 15;
constexpr std::int64_t kRowsPerTask = 64;
// Static scales of inputs that are tried, two octaves on either side. The largest values, which are
// much alike in all tokens, gain by lying on a step: 4 % of the error of rounding.
constexpr int kScalesPerOctave = 32;

float largest_code(const ActivationScheme& scheme) {
  if (scheme.type == ValueType::kInt) return static_cast<float>((1 << scheme.bits) - 1) / 2.0F;
  return scheme.bits == 4 ? kLargestE2M1 : kLargestE4M3;
}

// Mean square error of values in a bin (statistics.h) around `magnitude` under `scale`.
double rounding_error(const ActivationScheme& scheme, double magnitude, double scale) {
  const double largest = static_cast<double>(largest_code(scheme)) * scale;
  if (magnitude > largest) return (magnitude - largest) * (magnitude - largest);
  double step = scale;
  if (scheme.type == ValueType::kFloat) {
    const int least = scheme.bits == 4 ? 0 : -6;
    const int mantissa = scheme.bits == 4 ? 1 : 3;
    const int exponent = std::max(std::ilogb(magnitude / scale), least);
    step = std::ldexp(scale, exponent - mantissa);
  }
  const double width = magnitude / kBinsPerOctave;
  if (width > step / 2) return std::min(step * step / 12, magnitude * magnitude);
  const double off = magnitude - std::nearbyint(magnitude / step) * step;
  return off * off;
}

// Candidate scales of a tensor, as multiples of that of its largest value. Floats repeat by
// octaves, integers gain from clipping.
std::vector<float> candidate_factors(const Scheme& scheme) {
  std::vector<float> factors = {1.0F};
  for (int i = 1; i < 16; ++i) {
    const auto step = static_cast<float>(i);
    if (scheme.tensor_scale != TensorScale::kNone) {
      // Of the divisor, downwards: no scale of a group leaves its range.
      if (i < 8) factors.push_back(std::exp2(-step / 8));
    } else if (scheme.type == ValueType::kFloat) {
      factors.push_back(i == 1 ? 0.9375F : 1.0F + (step - 1) / 16);
    } else {
      factors.push_back(1.0F - step / 32);
    }
  }
  return factors;
}

// Error of `values` [count, cols] under a scale of the tensor.
double tensor_error(const GroupFormat& format, const Scheme& scheme, float tensor_scale,
                    std::span<const float> values, std::int64_t cols,
                    std::span<const float> importance) {
  const std::int64_t width = scheme.granularity == Granularity::kGroup ? scheme.group_size : cols;
  const auto length = static_cast<std::size_t>(width);
  std::vector<std::int8_t> codes(length);
  std::vector<float> decoded(length);
  double error = 0;
  for (std::size_t begin = 0; begin < values.size(); begin += length) {
    const auto group = values.subspan(begin, length);
    const std::size_t column = begin % static_cast<std::size_t>(cols);
    const auto weights = importance.empty() ? importance : importance.subspan(column, length);
    GroupParams params{.scale = tensor_scale};
    if (scheme.granularity == Granularity::kGroup) {
      params = fit_group(format, group, weights, true, scheme, tensor_scale).params;
    }
    format.project(group, params, scheme, codes.data());
    format.decode(codes.data(), width, params, scheme, decoded.data());
    for (std::size_t i = 0; i < length; ++i) {
      const double off = static_cast<double>(decoded[i]) - static_cast<double>(group[i]);
      error += off * off * (weights.empty() ? 1.0 : static_cast<double>(weights[i]));
    }
  }
  return error;
}

}  // namespace

float input_scale_for(const ActivationScheme& scheme, const InputStatistics& inputs) {
  QUANTLANE_CHECK(scheme.calibrated());
  if (inputs.absmax.empty()) return 0;
  const float amax = std::clamp(std::ranges::max(inputs.absmax), 0x1p-100F, 0x1p100F);
  if (scheme.tensor_scale != TensorScale::kNone) {
    const float divisor = kLargestE4M3 * kLargestE2M1 / amax;
    return scheme.tensor_scale == TensorScale::kDivides ? divisor : 1 / divisor;
  }
  const float start = amax / largest_code(scheme);
  float best = start;
  double least = HUGE_VAL;
  for (int i = -2 * kScalesPerOctave; i <= 2 * kScalesPerOctave; ++i) {
    // As bf16 holds it: the type in which the dialects store it, or a narrower one.
    const float scale = storable_scale(
        start * std::exp2(static_cast<float>(i) / static_cast<float>(kScalesPerOctave)),
        DType::kBF16);
    double error = rounding_error(scheme, static_cast<double>(amax), static_cast<double>(scale));
    for (int bin = 0; bin < static_cast<int>(inputs.magnitudes.size()); ++bin) {
      const auto count = inputs.magnitudes[static_cast<std::size_t>(bin)];
      if (count == 0) continue;
      error += static_cast<double>(count) *
               rounding_error(scheme, bin_magnitude(bin), static_cast<double>(scale));
    }
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return inputs.magnitudes.empty() ? storable_scale(start, DType::kBF16) : best;
}

WeightScales::WeightScales(bool searched, const Statistics* statistics, ThreadPool& pool)
    : searched_(searched), statistics_(statistics), pool_(pool) {}

void WeightScales::add(std::string_view module, const Weight& weight, const Scheme& scheme) {
  Fused& fused = fused_[fused_name(module)];
  QUANTLANE_CHECK(fused.shards.empty() || fused.scheme == scheme);
  fused.scheme = scheme;
  fused.shards.push_back({.module = std::string(module), .weight = &weight});
}

float WeightScales::of(std::string_view module) {
  const std::string name = fused_name(module);
  if (const auto found = found_.find(name); found != found_.end()) return found->second;
  const auto entry = fused_.find(name);
  QUANTLANE_CHECK(entry != fused_.end());
  const Fused& fused = entry->second;
  if (fused.scheme.granularity != Granularity::kTensor &&
      fused.scheme.tensor_scale == TensorScale::kNone)
    return 0;
  const float amax = largest(fused.shards);
  const float scale = searched_ ? search(fused, amax) : tensor_scale_for(fused.scheme, amax);
  return found_.emplace(name, scale).first->second;
}

float WeightScales::largest(const std::vector<Shard>& shards) const {
  float amax = 0;
  for (const Shard& shard : shards) {
    const Weight& weight = *shard.weight;
    const std::int64_t tasks = ceil_div(weight.rows(), kRowsPerTask);
    std::vector<float> highest(static_cast<std::size_t>(tasks));
    pool_.parallel_for(tasks, [&](std::int64_t task, int) {
      const std::int64_t begin = task * kRowsPerTask;
      const std::int64_t count = std::min(kRowsPerTask, weight.rows() - begin);
      std::vector<float> values(static_cast<std::size_t>(count * weight.cols()));
      weight.decode_rows(begin, count, values.data());
      // NaN and infinities are left to those who encode: they name the row.
      float best = 0;
      for (const float value : values) {
        const float magnitude = std::abs(value);
        if (magnitude > best && std::isfinite(magnitude)) best = magnitude;
      }
      highest[static_cast<std::size_t>(task)] = best;
    });
    amax = std::max(amax, std::ranges::max(highest));
  }
  return amax;
}

float WeightScales::search(const Fused& fused, float amax) const {
  const Scheme& scheme = fused.scheme;
  const GroupFormat* format = group_format_for(scheme);
  QUANTLANE_CHECK(format != nullptr);
  const std::vector<float> factors = candidate_factors(scheme);
  std::vector<float> candidates;
  for (const float factor : factors) {
    float scale = tensor_scale_for(scheme, amax);
    scale = scheme.tensor_scale == TensorScale::kMultiplies ? scale / factor : scale * factor;
    if (scheme.tensor_scale == TensorScale::kNone)
      scale = storable_scale(scale, scheme.scale_dtype);
    candidates.push_back(scale);
  }
  std::vector<double> errors(candidates.size());
  for (const Shard& shard : fused.shards) {
    const Weight& weight = *shard.weight;
    const std::int64_t cols = weight.cols();
    const std::int64_t rows =
        std::min(weight.rows(), std::max<std::int64_t>(1, kSampleValues / cols));
    std::vector<float> sample(static_cast<std::size_t>(rows * cols));
    for (std::int64_t r = 0; r < rows; ++r)
      weight.decode_rows(r * weight.rows() / rows, 1, sample.data() + r * cols);
    const bool finite =
        std::ranges::all_of(sample, [](float value) { return std::isfinite(value); });
    if (!finite) return candidates[0];
    std::vector<float> importance;
    if (statistics_ != nullptr) importance = statistics_->importance(shard.module, cols);
    pool_.parallel_for(static_cast<std::int64_t>(candidates.size()), [&](std::int64_t i, int) {
      errors[static_cast<std::size_t>(i)] += tensor_error(
          *format, scheme, candidates[static_cast<std::size_t>(i)], sample, cols, importance);
    });
  }
  return candidates[static_cast<std::size_t>(std::ranges::min_element(errors) - errors.begin())];
}

}  // namespace quantlane
