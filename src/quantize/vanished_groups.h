// Groups of weights that became zero because no scale is small enough for them (f16 ends at 2^-24,
// one scale of a tensor at its largest values), found while slices are encoded.
#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "formats/quant_tensor.h"
#include "quantlane/coverage.h"

namespace quantlane {

class VanishedGroups {
 public:
  // Rows of the matrix at hand as they were ([slice.rows, slice.cols]) and as they are stored; from
  // several threads at once.
  void see(const float* values, const QuantTensor& slice);
  // All rows of the matrix at hand, `name`, have been seen.
  void end_matrix(const std::string& name, const Scheme& scheme);
  // One for each matrix of which nothing is left, one for the groups of all others.
  [[nodiscard]] std::vector<std::string> notices() const;

 private:
  std::mutex mutex_;
  std::int64_t vanished_ = 0;  // groups of the matrix at hand
  bool left_ = false;          // is any of its values not zero?
  float largest_ = 0;          // of the vanished ones, as they were
  DeadChannels groups_;        // of matrices of which something is left
  std::vector<std::string> matrices_;
};

}  // namespace quantlane
