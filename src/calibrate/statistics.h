// What one calibration pass learns about the inputs of every Linear: second moments (the importance
// matrix) and absolute maxima, with token counts. Saved as safetensors, mergeable by addition.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "containers/metadata.h"
#include "core/replacing.h"
#include "quantlane/result.h"

namespace quantlane {

// Share of the mean importance that a column counts with which was (nearly) always zero. Without it
// nothing would hold the weights of a whole sub-block of such columns (relative errors of 0.5 in
// q3_k and iq4_xs, 0.85 in q6_k). From 1e-6 to 1e-20 the encoders give the same errors.
inline constexpr float kLeastImportance = 1e-9F;

// Magnitudes are counted by 32nds of an octave, fine enough to see on which side of a step of FP8
// they lie: bin 0 holds those up to 2^-32, the last one those near and above 2^32.
inline constexpr int kBinsPerOctave = 32;
inline constexpr int kMagnitudeBins = 64 * kBinsPerOctave;
int magnitude_bin(float value);
// A magnitude in the middle of a bin.
double bin_magnitude(int bin);

// Shares no factor with the usual lengths of chunks: all positions have their turn.
inline constexpr std::int64_t kSampledToken = 17;

struct InputStatistics {
  std::vector<double> sum_squares;  // per input column, over tokens
  std::vector<float> absmax;        // per input column; empty from importance matrices
  std::int64_t tokens = 0;
  // How often magnitudes occur in every kSampledToken-th row [kMagnitudeBins]; empty from
  // importance matrices and older files.
  std::vector<std::int64_t> magnitudes = {};
};

// The end of the names of tensors that only files of statistics have.
inline constexpr std::string_view kStatisticsAbsmax = ".in_absmax";

// Where statistics come from; what a file does not say is empty or 0.
struct StatisticsOrigin {
  std::string model;               // content hash
  std::vector<std::string> texts;  // names
  std::int64_t chunk_size = 0;     // tokens
  std::int64_t experts = 0;        // of each layer of the model
};

class Statistics {
 public:
  // Adds rows x [tokens, cols] that entered the Linear `module`.
  void add(std::string_view module, const float* x, std::int64_t tokens, std::int64_t cols);
  // Takes `inputs` as those of `module`, in place of what was there.
  void set(std::string module, InputStatistics inputs);
  // Adds everything of `other`: sums, largest magnitudes, counts. kInvalidArgument when widths
  // differ; *this is unchanged then.
  Result<void> merge(const Statistics& other);
  // Mean square of each input column ([cols]), columns near zero raised to kLeastImportance of the
  // mean; empty when the module was not seen or another width.
  [[nodiscard]] std::vector<float> importance(std::string_view module, std::int64_t cols) const;
  [[nodiscard]] const std::map<std::string, InputStatistics, std::less<>>& modules() const {
    return modules_;
  }
  void come_from(StatisticsOrigin origin) { origin_ = std::move(origin); }
  [[nodiscard]] const StatisticsOrigin& origin() const { return origin_; }
  // Tensors "<module>.in_sum2" F64 [cols], "<module>.in_absmax" F32 [cols], "<module>.count" I64
  // [1] and "<module>.in_magnitudes" I64 [kMagnitudeBins].
  Result<void> save(const std::filesystem::path& path, const Metadata& metadata = {},
                    ReplaceCheck may_replace = {}) const;
  static Result<Statistics> load(const std::filesystem::path& path);

 private:
  std::map<std::string, InputStatistics, std::less<>> modules_;
  StatisticsOrigin origin_;
};

}  // namespace quantlane
