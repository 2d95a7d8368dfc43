// Rows of Linears that hold nothing but zeros, counted while their slices are encoded.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>

#include "quantlane/coverage.h"

namespace quantlane {

class ZeroRows {
 public:
  // Rows [rows, cols] of the matrix at hand, as floats or bf16; from several threads at once.
  void see(const float* values, std::int64_t rows, std::int64_t cols);
  void see(const std::uint16_t* bf16, std::int64_t rows, std::int64_t cols);
  // All rows of the matrix at hand, `name`, have been seen.
  void end_matrix(const std::string& name);
  [[nodiscard]] const DeadChannels& found() const { return found_; }
  // "3 rows of 1 matrix are all zero (the first: …)"; empty without any.
  [[nodiscard]] std::string notice() const;

 private:
  std::atomic<std::int64_t> current_ = 0;
  DeadChannels found_;
};

}  // namespace quantlane
