// Llama 3's stretching of the rotary frequencies. Source: transformers modeling_rope_utils
// (llama3); llama.cpp convert_hf_to_gguf for the divisors as a tensor.
#include <cmath>
#include <numbers>

#include "model/graph.h"

namespace quantlane {
namespace {

// Long wavelengths are stretched by `factor`, short ones not at all, those between smoothly.
double llama3_divisor(const RopeScaling& scaling, double frequency) {
  const auto context = static_cast<double>(scaling.original_context);
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < context / scaling.high_freq_factor) return 1;
  if (wavelength > context / scaling.low_freq_factor) return scaling.factor;
  const double smooth = (context / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return 1 / ((1 - smooth) / scaling.factor + smooth);
}

}  // namespace

std::vector<float> rope_frequency_divisors(const ModelConfig& config) {
  if (!config.rope_divisors.empty()) return config.rope_divisors;
  if (config.rope_scaling.kind != RopeScaling::Kind::kLlama3) return {};
  std::vector<float> divisors;
  for (std::int64_t i = 0; i < config.head_dim / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim);
    divisors.push_back(static_cast<float>(
        llama3_divisor(config.rope_scaling, std::pow(config.rope_theta, exponent))));
  }
  return divisors;
}

}  // namespace quantlane
