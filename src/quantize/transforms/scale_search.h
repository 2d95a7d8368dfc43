// The search that AWQ and SmoothQuant share: factors for each input that can be scaled, chosen by
// the error that rounding makes in the outputs of its readers.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "quantize/transforms/transform.h"

namespace quantlane {

// What is known of the elements that one source gives (a norm's columns, a Linear's rows), each
// [source_size], the largest or mean over the columns and readers that an element reaches.
struct ScaleFacts {
  std::vector<double> input_mean;   // mean |x|
  std::vector<double> input_max;    // max |x|
  std::vector<double> weight_mean;  // mean over rows of |w| / max |w| of its group
  std::vector<double> weight_max;   // max |w|
};

// A family of factors with one number to search for.
struct ScaleFamily {
  std::string_view name;
  // Element by element, any positive scale; `ratio` in [0, 1].
  double (*factor)(const ScaleFacts& facts, std::size_t element, double ratio);
};

// For each input the factors of least error over the families and ratios, none (1) among them.
// Where the target rounds inputs, their rounding is part of the error. Factors are such that the
// norm which takes their inverse can be stored with them.
Result<Transformed> search_scales(const TransformRequest& request,
                                  std::span<const ScaleFamily> families);

}  // namespace quantlane
