// The element-wise and attention kernels of the runtime. All float32, row-major.
#pragma once
#include <cstdint>

#include "core/threads.h"

namespace quantlane::kernels {

// y[t, :] = x[t, :] / sqrt(mean(x[t, :]^2) + eps) * weight; x and y [tokens, width] may alias.
void rms_norm(const float* x, std::int64_t tokens, std::int64_t width, const float* weight,
              double eps, float* y);

// Rotates halves (i, i + head_dim/2) of each head in place: x [tokens, heads, head_dim];
// cos, sin: [tokens, head_dim / 2].
void rope(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
          const float* cos, const float* sin);

// gate[i] = act(gate[i]) * up[i]. silu(v) = v / (1 + exp(-v)); gelu_tanh: tanh approximation.
void silu_multiply(float* gate, const float* up, std::int64_t count);
void gelu_tanh_multiply(float* gate, const float* up, std::int64_t count);
// y[i] += x[i]
void add(float* y, const float* x, std::int64_t count);

// Causal grouped-query attention of one sequence. Queries q [tokens, heads, head_dim] sit at
// positions [start, start + tokens); keys and values [start + tokens, kv_heads, head_dim] hold all
// positions from 0. Query at position p sees keys max(0, p - window + 1) .. p (window 0 = all).
// scores scaled by `scale`, soft-capped at `softcap` when > 0 (cap * tanh(s / cap)).
// out [tokens, heads, head_dim].
struct AttentionShape {
  std::int64_t tokens, start, heads, kv_heads, head_dim, window;
  float scale, softcap;
};
void attention(const AttentionShape& shape, const float* q, const float* keys, const float* values,
               float* out, ThreadPool& pool);

// Over one row of logits [vocab]: log(sum(exp(x))), computed stably in double accumulation.
double log_sum_exp(const float* logits, std::int64_t vocab);
// Index of the largest logit (the lowest index among equals).
std::int64_t arg_max(const float* logits, std::int64_t vocab);
// KL(p || q) in nats of two rows of logits with their log_sum_exp: sum p * (log p - log q)
// double accumulation; never below 0 by more than rounding (clamped at 0).
double kl_divergence(const float* p_logits, double p_lse, const float* q_logits, double q_lse,
                     std::int64_t vocab);

}  // namespace quantlane::kernels
