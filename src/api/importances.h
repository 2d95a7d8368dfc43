// Activation statistics for the quantizers, with where they come from.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/statistics.h"
#include "model/checkpoint.h"
#include "quantize/lanes/lane_needs.h"
#include "quantize/pipeline.h"
#include "quantlane/coverage.h"
#include "quantlane/result.h"
#include "runtime/layer_walk.h"

namespace quantlane {

struct Importances {
  Statistics statistics;
  ImportanceOrigin origin;
  std::int64_t tokens = 0;           // the most that a Linear saw; 0 = not known
  std::vector<std::string> notices;  // what the matrix lacks, what its text never reached
  std::optional<ExpertCoverage> experts;
  DeadChannels idle_columns;  // before experts were filled up
};

// A file of llama-imatrix or of quantlane imatrix, also one of statistics, matched with the model;
// kInvalidArgument where it belongs to another one.
Result<Importances> importances_from_file(const std::filesystem::path& imatrix,
                                          const Checkpoint& checkpoint);
// A file of Statistics::save(); kInvalidArgument where it is of another model: another content, or
// Linears of other names or widths.
Result<Importances> importances_from_statistics(const std::filesystem::path& path,
                                                const Checkpoint& checkpoint);
// Those of our own pass over the text `dataset`.
Importances importances_from_pass(Statistics statistics, const Checkpoint& checkpoint,
                                  std::string dataset, std::int64_t chunks);

// With error feedback: do weights also make up for what earlier layers' rounding has done to their
// inputs? Below 8 bits that is most of what can be made up for; with 8 bits the drift is so small
// that targets would learn the noise of the calibration text (docs/algorithms/gptq.md has figures).
LayerWalk::Beside beside_feedback(const Lane& lane);
// Bytes that samples of activations may take at one time: half of the free memory.
std::uint64_t sample_budget();

}  // namespace quantlane
