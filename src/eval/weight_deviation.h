// How far the weights of an artefact, read back from disk, are from those of a quantized source.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

struct WeightDeviation {
  std::string tensor;  // parameter name
  std::string from;    // encoding in the source: "int4_g128_sym"
  std::string to;      // and in the artefact: "q4_0"
  // Of codes times scales, exactly; of decoded values where the artefact holds plain floats.
  double squared_error = 0;    // sum of (w' - w)^2 over all weights
  double squared_norm = 0;     // sum of w^2
  std::int64_t differing = 0;  // weights with another value
  std::int64_t values = 0;
  // Of decoded values on both sides: engines of some formats round the products.
  double decoded_squared_error = 0;
  double decoded_squared_norm = 0;
  // sqrt(squared_error / squared_norm), and the same of what is decoded
  [[nodiscard]] double relative_rmse() const;
  [[nodiscard]] double decoded_relative_rmse() const;
};

// All weights of the named parameters, one matrix in memory at a time. kCorrupt where the artefact
// lacks one.
Result<std::vector<WeightDeviation>> measure_deviations(const Checkpoint& source,
                                                        const Checkpoint& artefact,
                                                        std::span<const std::string> names,
                                                        ThreadPool& pool, Progress& progress);

}  // namespace quantlane
