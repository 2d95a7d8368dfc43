// Second moments between columns: what a calibration pass sums up for error feedback.
#pragma once
#include <cstdint>

#include "core/threads.h"

namespace quantlane::kernels {

// sums[i * cols + j] += sum_t x[t, i] * x[t, j] for j >= i; what lies below the diagonal is left
// undefined. x [tokens, cols] row-major, sums [cols, cols].
// Where the processor multiplies bf16 pairs, x is rounded to bf16 (relative error 2^-9 of each
// factor, unbiased), else it is taken as it is; sums are float32. The same bits for any thread
// count.
void add_moments(const float* x, std::int64_t tokens, std::int64_t cols, float* sums,
                 ThreadPool& pool);

// sums[i * cols + j] += sum_t x[t, i] * (y[t, j] - x[t, j]) for all i and j, likewise; the
// difference is taken before it is rounded.
void add_shift_moments(const float* x, const float* y, std::int64_t tokens, std::int64_t cols,
                       float* sums, ThreadPool& pool);

// sums[i * width + j] += sum_t x[t, i] * y[t, j], likewise. y [tokens, width], sums [cols, width].
void add_cross_moments(const float* x, const float* y, std::int64_t tokens, std::int64_t cols,
                       std::int64_t width, float* sums, ThreadPool& pool);

}  // namespace quantlane::kernels
