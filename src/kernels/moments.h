// Second moments between columns: what a calibration pass sums up for error feedback.
#pragma once
#include <cstdint>
#include <span>

#include "core/threads.h"

namespace quantlane::kernels {

// What the columns of x [tokens, cols] are multiplied with: y [tokens, width], less the values of
// `minus`, of the same shape, where that is given (taken before anything is rounded). sums [cols,
// width] get what is found on top. Where y is x itself only what lies on and above the diagonal is
// computed, the rest left undefined.
struct MomentProduct {
  const float* y;
  std::int64_t width;
  float* sums;
  const float* minus = nullptr;
};

// sums[i * width + j] += sum_t x[t, i] * (y[t, j] - minus[t, j]), for each of `products`; x is read
// once. Everything row-major.
// Where the processor multiplies bf16 pairs, factors are rounded to bf16 (relative error 2^-9 of
// each, unbiased), else they are taken as they are; sums are float32. The same bits for any thread
// count.
void add_moments(const float* x, std::int64_t tokens, std::int64_t cols,
                 std::span<const MomentProduct> products, ThreadPool& pool);

}  // namespace quantlane::kernels
