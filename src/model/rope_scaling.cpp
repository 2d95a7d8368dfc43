// Llama 3's stretching of the rotary frequencies. Source: transformers modeling_rope_utils
// (llama3); llama.cpp convert_hf_to_gguf for the divisors as a tensor.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/graph.h"

namespace quantlane {
namespace {

// Frequency i of a head is theta^(-2i / head_dim).
double wavelength_of(const ModelConfig& config, std::size_t i) {
  const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim);
  return 2 * std::numbers::pi * std::pow(config.rope_theta, exponent);
}

// Long wavelengths are stretched by `factor`, short ones not at all, those between smoothly.
double llama3_divisor(const RopeScaling& scaling, double wavelength) {
  const auto context = static_cast<double>(scaling.original_context);
  if (wavelength < context / scaling.high_freq_factor) return 1;
  if (wavelength > context / scaling.low_freq_factor) return scaling.factor;
  const double smooth = (context / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return 1 / ((1 - smooth) / scaling.factor + smooth);
}

RopeScaling scaling_of(double factor, double low, double high, double context) {
  return {.kind = RopeScaling::Kind::kLlama3,
          .factor = factor,
          .low_freq_factor = low,
          .high_freq_factor = high,
          .original_context = std::llround(context)};
}

// The stored divisors to the rounding of writers, who compute in float32: that goes into the ramp,
// which is straight in the reciprocals.
bool gives(const RopeScaling& scaling, const ModelConfig& config) {
  constexpr double kRounding = 1e-6;
  for (std::size_t i = 0; i < config.rope_divisors.size(); ++i) {
    const double computed = llama3_divisor(scaling, wavelength_of(config, i));
    const auto stored = static_cast<double>(config.rope_divisors[i]);
    if (!(std::abs(1 / computed - 1 / stored) <= kRounding)) return false;
  }
  return true;
}

// Wavelengths up to `shortest` are as they were and those from `longest` on stretched fully.
std::optional<RopeScaling> scaling_between(double shortest, double longest,
                                           const ModelConfig& config, double factor) {
  if (!(shortest > 0 && longest > shortest && longest < 0x1p31)) return std::nullopt;
  const double context = std::max(1.0, std::round(longest));
  const double high = std::round(1e3 * context / shortest) / 1e3;
  // Round numbers where they do.
  for (const RopeScaling& guess :
       {scaling_of(factor, 1, high, context),
        scaling_of(factor, context / longest, context / shortest, context)}) {
    if (gives(guess, config)) return guess;
  }
  return std::nullopt;
}

// Where on the ramp a divisor lies: 1 at the short wavelengths' end, 0 at the long ones'.
double smooth_of(float divisor, double factor) {
  return (1 / static_cast<double>(divisor) - 1 / factor) / (1 - 1 / factor);
}

std::optional<RopeScaling> fitted_scaling(const ModelConfig& config, double factor) {
  const auto& divisors = config.rope_divisors;
  // On the ramp: [begin, end).
  const auto begin =
      std::ranges::find_if(divisors, [](float d) { return d != 1; }) - divisors.begin();
  const auto end = std::ranges::max_element(divisors) - divisors.begin();
  const auto wavelength = [&](std::ptrdiff_t i) {
    return wavelength_of(config, static_cast<std::size_t>(i));
  };
  const auto smooth = [&](std::ptrdiff_t i) {
    return smooth_of(divisors[static_cast<std::size_t>(i)], factor);
  };
  if (end - begin >= 2) {
    // The straight line through both ends of the ramp: smooth = slope / wavelength - offset.
    const double near = 1 / wavelength(begin);
    const double far = 1 / wavelength(end - 1);
    const double slope = (smooth(begin) - smooth(end - 1)) / (near - far);
    const double offset = slope * near - smooth(begin);
    return scaling_between(slope / (1 + offset), slope / offset, config, factor);
  }
  const double before = begin > 0 ? wavelength(begin - 1) : wavelength(0) / 2;
  const double after = wavelength(end);
  if (end == begin) {
    const double step = std::cbrt(after / before);
    return scaling_between(before * step, after / step, config, factor);
  }
  // One point leaves a choice of ramps through it that end between its neighbours.
  const double point = wavelength(begin);
  const double on_ramp = smooth(begin);
  const double least = std::max(before, on_ramp / (1 / point - (1 - on_ramp) / after));
  const double shortest = std::sqrt(least * point);
  return scaling_between(shortest, (1 - on_ramp) / (1 / point - on_ramp / shortest), config,
                         factor);
}

}  // namespace

std::vector<float> rope_frequency_divisors(const ModelConfig& config) {
  if (!config.rope_divisors.empty()) return config.rope_divisors;
  if (config.rope_scaling.kind != RopeScaling::Kind::kLlama3) return {};
  std::vector<float> divisors;
  for (std::int64_t i = 0; i < config.head_dim / 2; ++i) {
    divisors.push_back(static_cast<float>(
        llama3_divisor(config.rope_scaling, wavelength_of(config, static_cast<std::size_t>(i)))));
  }
  return divisors;
}

std::optional<RopeScaling> llama3_scaling_of_divisors(const ModelConfig& config) {
  const double factor = std::ranges::max(config.rope_divisors);
  if (!(factor > 1 && std::isfinite(factor))) return std::nullopt;
  // As models are published: a context that is a power of two, 1 and 4; Llama 3's own first.
  constexpr double kPublished = 8192;
  RopeScaling published = scaling_of(factor, 1, 4, kPublished);
  if (gives(published, config)) return published;
  for (double context = 8; context < 0x1p31; context *= 2) {
    if (gives(scaling_of(factor, 1, 4, context), config)) return scaling_of(factor, 1, 4, context);
  }
  return fitted_scaling(config, factor);
}

}  // namespace quantlane
