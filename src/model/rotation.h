// Orthogonal matrices that spread every element over all others: what QuaRot (Ashkboos et al. 2024)
// and SpinQuant (Liu et al. 2024) merge into weights. docs/algorithms/rotations.md.
#pragma once
#include <cstdint>
#include <vector>

namespace quantlane {

// Q = diag(s) (T x H) of any size n = m 2^k, m odd: s random signs, H the Hadamard matrix of order
// 2^k over its root, T the discrete Hartley matrix (cos + sin) of order m over its root. Both are
// symmetric and orthogonal; no element of Q is above sqrt(2 / n). An m above kLargestOdd is not
// mixed (T = 1). Immutable and thread-safe.
class Rotation {
 public:
  static constexpr std::int64_t kLargestOdd = 1024;
  // The same signs for the same arguments on every machine.
  Rotation(std::int64_t size, std::uint64_t seed);
  [[nodiscard]] std::int64_t size() const { return size_; }
  // x <- x Q, `count` vectors of size() elements one after another.
  void turn(float* x, std::int64_t count = 1) const;
  // The same for every column of x [size(), cols].
  void turn_columns(float* x, std::int64_t cols) const;
  [[nodiscard]] const std::vector<float>& signs() const { return signs_; }  // [size()]

 private:
  std::int64_t size_;
  std::int64_t power_;          // 2^k
  std::int64_t odd_;            // m
  std::vector<float> signs_;    // [size()], 1 or -1
  std::vector<float> hartley_;  // [m, m]; empty = 1
};

}  // namespace quantlane
