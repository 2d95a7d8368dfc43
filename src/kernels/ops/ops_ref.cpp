// The element-wise and row kernels in plain loops: the oracle of the other rows.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ops/ops_kernels.h"

namespace quantlane::kernels {
namespace {

void rms_norm(const float* x, int64_t width, const float* weight, double eps, float* y) {
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const auto scale = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(width) + eps));
  for (int64_t i = 0; i < width; ++i) y[i] = x[i] * scale * weight[i];
}

void rope(float* x, int64_t heads, int64_t head_dim, const float* cos, const float* sin) {
  const int64_t half = head_dim / 2;
  for (int64_t h = 0; h < heads; ++h) {
    float* low = x + h * head_dim;
    float* high = low + half;
    for (int64_t i = 0; i < half; ++i) {
      const float a = low[i];
      const float b = high[i];
      low[i] = a * cos[i] - b * sin[i];
      high[i] = b * cos[i] + a * sin[i];
    }
  }
}

void silu_multiply(float* gate, const float* up, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const double v = static_cast<double>(gate[i]);
    gate[i] = static_cast<float>(v / (1.0 + std::exp(-v))) * up[i];
  }
}

// 0.5 v (1 + tanh(u)) = v / (1 + exp(-2u)), u = sqrt(2/pi) (v + 0.044715 v^3): Hendrycks and
// Gimpel, "Gaussian Error Linear Units", 2016.
void gelu_tanh_multiply(float* gate, const float* up, int64_t count) {
  constexpr double kRootTwoOverPi = 0.7978845608028653558798921;
  for (int64_t i = 0; i < count; ++i) {
    const double v = static_cast<double>(gate[i]);
    const double u = kRootTwoOverPi * (v + 0.044715 * v * v * v);
    gate[i] = static_cast<float>(v / (1.0 + std::exp(-2.0 * u))) * up[i];
  }
}

void exp(const float* x, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i)
    y[i] = static_cast<float>(std::exp(static_cast<double>(x[i])));
}

void add(float* y, const float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] += x[i];
}

double log_sum_exp(const float* logits, int64_t vocab) {
  const float largest = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) {
    sum += std::exp(static_cast<double>(logits[i]) - static_cast<double>(largest));
  }
  return static_cast<double>(largest) + std::log(sum);
}

int64_t arg_max(const float* logits, int64_t vocab) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < vocab; ++i) {
    if (logits[i] > largest) largest = logits[i];
  }
  const float* found = std::find(logits, logits + vocab, largest);
  return found == logits + vocab ? 0 : found - logits;
}

// sum p (d - 1) + q, d = log p - log q: equal to sum p d because p and q both sum to 1, but each
// term is >= 0, so small divergences do not drown in cancelling terms.
double kl_divergence(const float* p_logits, double p_lse, const float* q_logits, double q_lse,
                     int64_t vocab) {
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) {
    const double p = std::exp(static_cast<double>(p_logits[i]) - p_lse);
    const double d =
        (static_cast<double>(p_logits[i]) - static_cast<double>(q_logits[i])) - (p_lse - q_lse);
    sum += std::abs(d) <= 1 ? p * (d + std::expm1(-d))
                            : p * (d - 1) + std::exp(static_cast<double>(q_logits[i]) - q_lse);
  }
  return sum;
}

}  // namespace

const OpsKernels kOpsRef = {
    .rms_norm = rms_norm,
    .rope = rope,
    .silu_multiply = silu_multiply,
    .gelu_tanh_multiply = gelu_tanh_multiply,
    .add = add,
    .exp = exp,
    .log_sum_exp = log_sum_exp,
    .arg_max = arg_max,
    .kl_divergence = kl_divergence,
};

}  // namespace quantlane::kernels
