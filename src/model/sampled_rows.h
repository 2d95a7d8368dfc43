// Some rows of a matrix, decoded, for comparisons that need not see all of it.
#pragma once
#include <cstdint>
#include <vector>

#include "model/weight.h"

namespace quantlane {

struct SampledRows {
  std::int64_t count;
  std::int64_t cols;
  std::vector<float> values;  // [count, cols]
  [[nodiscard]] float* row(std::int64_t r) { return values.data() + r * cols; }
  [[nodiscard]] const float* row(std::int64_t r) const { return values.data() + r * cols; }
};

// At most `most` rows, evenly spaced: the same ones of every matrix of as many rows.
SampledRows sample_rows(const Weight& weight, std::int64_t most = 256);

}  // namespace quantlane
