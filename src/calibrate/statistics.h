// What one calibration pass learns about the inputs of every Linear: second moments (the importance
// matrix) and absolute maxima, with token counts. Saved as safetensors, mergeable by addition.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantlane/result.h"

namespace quantlane {

struct InputStatistics {
  std::vector<double> sum_squares;  // per input column, over tokens
  std::vector<float> absmax;        // per input column
  std::int64_t tokens = 0;
};

class Statistics {
 public:
  // Adds rows x [tokens, cols] that entered the Linear `module`.
  void add(std::string_view module, const float* x, std::int64_t tokens, std::int64_t cols);
  // Adds everything of `other`; kInvalidArgument when widths differ.
  Result<void> merge(const Statistics& other);
  // Mean square of each input column ([cols]); empty when the module was not seen or another width.
  [[nodiscard]] std::vector<float> importance(std::string_view module, std::int64_t cols) const;
  [[nodiscard]] const std::map<std::string, InputStatistics, std::less<>>& modules() const {
    return modules_;
  }
  // Tensors "<module>.in_sum2" F64 [cols], "<module>.in_absmax" F32 [cols], "<module>.count" I64
  // [1].
  Result<void> save(const std::filesystem::path& path) const;
  static Result<Statistics> load(const std::filesystem::path& path);

 private:
  std::map<std::string, InputStatistics, std::less<>> modules_;
};

}  // namespace quantlane
