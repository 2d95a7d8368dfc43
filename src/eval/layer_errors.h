// How far the weights of an artefact, read back from disk, are from the reference's, Linear by
// Linear.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "calibrate/statistics.h"
#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantlane/compare.h"
#include "quantlane/result.h"

namespace quantlane {

// "q", "k", "v", "o", "gate", "up", "down", "head"; of Linears only.
std::string_view linear_name(Role role);

// sqrt(sum (w' - w)^2 / sum w^2); 0 where all of the reference is 0.
double relative_rmse(std::span<const float> reference, std::span<const float> artefact);

// Relative RMSE sqrt(sum h (w' - w)^2 / sum h w^2), h = mean square of the input column where
// `statistics` has it, else 1; over at most `sample_rows` evenly spaced rows of each Linear; one
// figure for all experts of a layer. Empty where the matrices are not roundings of the reference's
// but scaled or rotated ones (AWQ, SmoothQuant, rotations): the gains of norms have moved by more
// than 1 %, or a matrix is further off than one of zeros.
Result<std::vector<LayerError>> measure_layer_errors(const Checkpoint& reference,
                                                     const Checkpoint& artefact,
                                                     const Statistics* statistics,
                                                     std::int64_t sample_rows, ThreadPool& pool);

}  // namespace quantlane
