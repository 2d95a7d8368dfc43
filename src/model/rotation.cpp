#include "model/rotation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "core/check.h"
#include "core/rng.h"

namespace quantlane {
namespace {

constexpr std::int64_t kPanel = 64;  // columns that are turned together

// (a, b) <- (a + b, a - b), element by element.
void butterfly(float* a, float* b, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float sum = a[i] + b[i];
    b[i] = a[i] - b[i];
    a[i] = sum;
  }
}

// Fast Walsh-Hadamard transform of one vector of a power of two of elements, without a factor.
void hadamard(float* x, std::int64_t size) {
  for (std::int64_t half = 1; half < size; half *= 2) {
    for (std::int64_t i = 0; i < size; i += 2 * half) butterfly(x + i, x + i + half, half);
  }
}

// The same down the columns of x [size, width], rows `stride` apart.
void hadamard_columns(float* x, std::int64_t size, std::int64_t stride, std::int64_t width) {
  for (std::int64_t half = 1; half < size; half *= 2) {
    for (std::int64_t i = 0; i < size; i += 2 * half) {
      for (std::int64_t r = i; r < i + half; ++r)
        butterfly(x + r * stride, x + (r + half) * stride, width);
    }
  }
}

// Rows of x [odd, width], `stride` apart, become their sums by the symmetric matrix [odd, odd].
void mix_rows(const std::vector<float>& matrix, std::int64_t odd, float* x, std::int64_t stride,
              std::int64_t width) {
  std::vector<float> sums(static_cast<std::size_t>(odd * width));
  for (std::int64_t to = 0; to < odd; ++to) {
    float* sum = sums.data() + to * width;
    for (std::int64_t from = 0; from < odd; ++from) {
      const float factor = matrix[static_cast<std::size_t>(to * odd + from)];
      const float* row = x + from * stride;
      for (std::int64_t i = 0; i < width; ++i) sum[i] += factor * row[i];
    }
  }
  for (std::int64_t r = 0; r < odd; ++r)
    std::copy_n(sums.data() + r * width, width, x + r * stride);
}

std::vector<float> hartley_matrix(std::int64_t size) {
  std::vector<float> matrix;
  for (std::int64_t r = 0; r < size; ++r) {
    for (std::int64_t c = 0; c < size; ++c) {
      const double angle =
          2 * std::numbers::pi * static_cast<double>(r * c % size) / static_cast<double>(size);
      matrix.push_back(static_cast<float>((std::cos(angle) + std::sin(angle)) /
                                          std::sqrt(static_cast<double>(size))));
    }
  }
  return matrix;
}

}  // namespace

Rotation::Rotation(std::int64_t size, std::uint64_t seed)
    : size_(size), power_(size & -size), odd_(size / power_) {
  QUANTLANE_CHECK(size > 0);
  Rng rng(seed);
  for (std::int64_t i = 0; i < size; ++i) signs_.push_back(rng.below(2) == 0 ? 1.0F : -1.0F);
  if (odd_ > 1 && odd_ <= kLargestOdd) hartley_ = hartley_matrix(odd_);
}

void Rotation::turn(float* x, std::int64_t count) const {
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(power_)));
  for (float* end = x + count * size_; x != end; x += size_) {
    for (std::int64_t i = 0; i < size_; ++i) x[i] *= signs_[static_cast<std::size_t>(i)] * scale;
    for (std::int64_t i = 0; i < size_; i += power_) hadamard(x + i, power_);
    if (!hartley_.empty()) mix_rows(hartley_, odd_, x, power_, power_);
  }
}

void Rotation::turn_columns(float* x, std::int64_t cols) const {
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(power_)));
  for (std::int64_t begin = 0; begin < cols; begin += kPanel) {
    const std::int64_t width = std::min(kPanel, cols - begin);
    float* panel = x + begin;
    for (std::int64_t r = 0; r < size_; ++r) {
      const float factor = signs_[static_cast<std::size_t>(r)] * scale;
      for (std::int64_t c = 0; c < width; ++c) panel[r * cols + c] *= factor;
    }
    for (std::int64_t r = 0; r < size_; r += power_)
      hadamard_columns(panel + r * cols, power_, cols, width);
    if (hartley_.empty()) continue;
    for (std::int64_t r = 0; r < power_; ++r)
      mix_rows(hartley_, odd_, panel + r * cols, power_ * cols, width);
  }
}

}  // namespace quantlane
