// Chooses the row of the element-wise and row kernels once and loops over tokens.
#include "kernels/ops.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "kernels/ops/ops_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kOpsRows = {OpsRow{Isa::kAvx512, &kOpsAvx512}, OpsRow{Isa::kAvx2, &kOpsAvx2},
                                 OpsRow{Isa::kRef, &kOpsRef}};

const OpsKernels& chosen_ops() {
  static const OpsKernels& kernels = *std::ranges::find_if(kOpsRows, [](const OpsRow& row) {
                                        return row.isa <= active_isa();
                                      })->kernels;
  return kernels;
}

}  // namespace

std::span<const OpsRow> ops_rows() { return kOpsRows; }

void rms_norm(const float* x, std::int64_t tokens, std::int64_t width, const float* weight,
              double eps, float* y) {
  for (std::int64_t t = 0; t < tokens; ++t) {
    chosen_ops().rms_norm(x + t * width, width, weight, eps, y + t * width);
  }
}

void rope(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
          const float* cos, const float* sin) {
  QUANTLANE_CHECK(head_dim % 2 == 0);
  const std::int64_t half = head_dim / 2;
  for (std::int64_t t = 0; t < tokens; ++t) {
    chosen_ops().rope(x + t * heads * head_dim, heads, head_dim, cos + t * half, sin + t * half);
  }
}

void silu_multiply(float* gate, const float* up, std::int64_t count) {
  chosen_ops().silu_multiply(gate, up, count);
}

void gelu_tanh_multiply(float* gate, const float* up, std::int64_t count) {
  chosen_ops().gelu_tanh_multiply(gate, up, count);
}

void add(float* y, const float* x, std::int64_t count) { chosen_ops().add(y, x, count); }

double log_sum_exp(const float* logits, std::int64_t vocab) {
  QUANTLANE_CHECK(vocab > 0);
  return chosen_ops().log_sum_exp(logits, vocab);
}

std::int64_t arg_max(const float* logits, std::int64_t vocab) {
  QUANTLANE_CHECK(vocab > 0);
  return chosen_ops().arg_max(logits, vocab);
}

double kl_divergence(const float* p_logits, double p_lse, const float* q_logits, double q_lse,
                     std::int64_t vocab) {
  const double value = chosen_ops().kl_divergence(p_logits, p_lse, q_logits, q_lse, vocab);
  return value < 0 ? 0 : value;  // NaN stays NaN
}

}  // namespace quantlane::kernels
