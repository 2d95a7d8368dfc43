// values [rows, cols] -= errors [rows, width] * matrix [width, cols], each value in the order of
// the matrix's rows and rounded after every step, so that the result does not depend on the vector
// width. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/lanes.h"

namespace quantlane {
namespace {

constexpr int kProductVectors = 3;

// A strip of kRows rows and kProductVectors vectors of columns that stays in registers.
template <int kRows>
inline void subtract_strip(const float* errors, int64_t errors_stride, int64_t width,
                           const float* matrix, int64_t matrix_stride, float* values,
                           int64_t values_stride) {
  LaneVector sums[kRows][kProductVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kProductVectors; ++v)
      sums[r][v] = load_lanes(values + r * values_stride + v * kVectorLanes);
  }
  for (int64_t j = 0; j < width; ++j) {
    LaneVector row[kProductVectors];
    for (int v = 0; v < kProductVectors; ++v)
      row[v] = load_lanes(matrix + j * matrix_stride + v * kVectorLanes);
    for (int r = 0; r < kRows; ++r) {
      const float error = errors[r * errors_stride + j];
      for (int v = 0; v < kProductVectors; ++v) sums[r][v] -= error * row[v];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kProductVectors; ++v)
      store_lanes(sums[r][v], values + r * values_stride + v * kVectorLanes);
  }
}

inline void subtract_products(const float* errors, int64_t errors_stride, int64_t rows,
                              int64_t width, const float* matrix, int64_t matrix_stride,
                              int64_t cols, float* values, int64_t values_stride) {
  constexpr int kRows = 4;
  constexpr int64_t kStrip = int64_t{kProductVectors} * kVectorLanes;
  int64_t c = 0;
  for (; c + kStrip <= cols; c += kStrip) {
    int64_t r = 0;
    for (; r + kRows <= rows; r += kRows) {
      subtract_strip<kRows>(errors + r * errors_stride, errors_stride, width, matrix + c,
                            matrix_stride, values + r * values_stride + c, values_stride);
    }
    for (; r < rows; ++r) {
      subtract_strip<1>(errors + r * errors_stride, errors_stride, width, matrix + c, matrix_stride,
                        values + r * values_stride + c, values_stride);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < width; ++j) {
      const float error = errors[r * errors_stride + j];
      for (int64_t k = c; k < cols; ++k)
        values[r * values_stride + k] -= error * matrix[j * matrix_stride + k];
    }
  }
}

}  // namespace
}  // namespace quantlane
