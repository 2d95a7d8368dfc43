// Attention in plain loops with double sums: the oracle of the tiled path.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention/attention_table.h"

namespace quantlane::kernels {

void attention_ref(const AttentionShape& shape, const float* q, const float* keys,
                   const float* values, float* out, ThreadPool& pool) {
  const std::int64_t group = shape.heads / shape.kv_heads;
  const std::int64_t dim = shape.head_dim;
  const std::int64_t stride = shape.kv_heads * dim;
  pool.parallel_for(shape.tokens * shape.heads, [&](std::int64_t index, int) {
    const std::int64_t position = shape.start + index / shape.heads;
    const std::int64_t first =
        shape.window > 0 ? std::max<std::int64_t>(0, position - shape.window + 1) : 0;
    const std::int64_t kv = index % shape.heads / group * dim;
    const float* query = q + index * dim;
    std::vector<double> scores(static_cast<std::size_t>(position - first + 1));
    for (std::size_t j = 0; j < scores.size(); ++j) {
      const float* key = keys + (first + static_cast<std::int64_t>(j)) * stride + kv;
      double sum = 0;
      for (std::int64_t i = 0; i < dim; ++i) {
        sum += static_cast<double>(query[i]) * static_cast<double>(key[i]);
      }
      sum *= static_cast<double>(shape.scale);
      const auto cap = static_cast<double>(shape.softcap);
      scores[j] = cap > 0 ? cap * std::tanh(sum / cap) : sum;
    }
    const double largest = *std::ranges::max_element(scores);
    double total = 0;
    for (double& score : scores) {
      score = std::exp(score - largest);
      total += score;
    }
    for (std::int64_t i = 0; i < dim; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < scores.size(); ++j) {
        sum += scores[j] * static_cast<double>(
                               values[(first + static_cast<std::int64_t>(j)) * stride + kv + i]);
      }
      out[index * dim + i] = static_cast<float>(sum / total);
    }
  });
}

}  // namespace quantlane::kernels
