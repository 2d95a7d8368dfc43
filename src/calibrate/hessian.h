// Second moments between the inputs of a Linear: what error feedback needs beyond importances.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
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
  // X^T Y - H W^T [cols, rows of W], where the rows X should have given Y through the matrix W:
  // what its outputs lack, as the inputs see it. Empty where that is not known.
  std::vector<float> lack = {};
};

// How many times the median a row's sum of squares may count. Some models drive a few tokens (the
// first one, separators) to values a thousand times those of the rest (Sun et al. 2024, "Massive
// activations"); unchecked, such rows are all that H knows. On SmolLM2 (INT4, groups of 64) the KLD
// falls from .141 to .124.
// The most that a row may count among rows with these sums of squares; 0 without rows.
template <std::floating_point T>
T most_row_energy(std::vector<T> energies) {
  constexpr T kMedians = 4;
  if (energies.empty()) return 0;
  const auto middle = energies.begin() + static_cast<std::ptrdiff_t>(energies.size() / 2);
  std::ranges::nth_element(energies, middle);
  return kMedians * *middle;
}

// Adds up batches of rows.
class HessianSum {
 public:
  explicit HessianSum(std::int64_t cols);
  // Rows x [tokens, cols]; `exact` may be x. Rows above most_row_energy() (of the first batch)
  // are scaled down to that, those of `exact` with them.
  void add(const float* x, const float* exact, std::int64_t tokens, ThreadPool& pool);
  // The same, where it is known what the matrix should give for them: `outputs` [tokens, width].
  // Cheaper than exact inputs where a matrix has fewer rows than columns.
  void add_with_outputs(const float* x, const float* outputs, std::int64_t width,
                        std::int64_t tokens, ThreadPool& pool);
  [[nodiscard]] Hessian take(ThreadPool& pool);
  // After add_with_outputs(): `weights` [width, cols] is the matrix.
  [[nodiscard]] Hessian take(const std::vector<float>& weights, ThreadPool& pool);

 private:
  struct Rows {
    const float* x;
    const float* beside;
  };
  // The rows scaled down as add() says; valid until the next call.
  Rows tempered(const float* x, const float* beside, std::int64_t width, std::int64_t tokens,
                ThreadPool& pool);

  Hessian hessian_;
  float most_energy_ = 0;
  std::vector<float> tempered_;  // rows of x, then those beside
};

}  // namespace quantlane
