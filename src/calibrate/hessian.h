// Second moments between the inputs of a Linear: what error feedback needs beyond importances.
#pragma once
#include <cstdint>
#include <vector>

#include "core/threads.h"

namespace quantlane {

// H = X^T X of the rows X [tokens, cols] that entered a Linear.
struct Hessian {
  std::int64_t cols = 0;
  std::int64_t tokens = 0;
  std::vector<float> sums;  // [cols, cols], symmetric
  // X^T (E - X) [cols, cols], where the rows should have been E: how far they are off, as the
  // inputs see it. Empty where they are exact.
  std::vector<float> shift = {};
};

// Adds up batches of rows.
class HessianSum {
 public:
  explicit HessianSum(std::int64_t cols);
  // Rows x [tokens, cols]; `exact` may be x.
  void add(const float* x, const float* exact, std::int64_t tokens, ThreadPool& pool);
  [[nodiscard]] Hessian take();

 private:
  Hessian hessian_;
  std::vector<float> columns_;  // X^T
  std::vector<float> missing_;  // (E - X)^T
  std::vector<float> product_;
};

}  // namespace quantlane
