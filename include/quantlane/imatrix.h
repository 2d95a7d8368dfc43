// Importance matrices: collected from a model, merged, converted, described. Files are llama.cpp's
// (.gguf, .dat), read and written, or our own (.safetensors) with all that a pass learns: second
// moments, largest magnitudes, how often magnitudes occur, tokens of every Linear and expert.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "quantlane/coverage.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

struct ImatrixOptions {
  std::filesystem::path checkpoint;
  std::optional<std::filesystem::path> text;  // UTF-8; default: the embedded prose
  std::filesystem::path out;                  // .gguf, .dat or .safetensors
  // Tokens per chunk; 0: 512, or the context of the model where that is shorter.
  std::int64_t chunk = 0;
  std::int64_t chunks = 0;      // 0 = as many as the text has
  bool process_output = false;  // an entry for the head too (of tied models: for the embedding)
  bool force = false;           // replace an existing output
  int threads = 0;
  // Resident memory to stay below ("6GiB"); "available": what the machine has. The weights are read
  // layer by layer; the matrix is the same.
  std::string memory_limit = "available";
};

struct ImatrixMergeOptions {
  std::vector<std::filesystem::path> inputs;  // one: convert it
  std::filesystem::path out;                  // .gguf, .dat or .safetensors
  std::int64_t chunk = 0;  // tokens per chunk that the output counts in; 0 = as the inputs
  bool force = false;
};

// What a written matrix is.
struct ImatrixResult {
  std::filesystem::path path;
  std::string format;  // "gguf", "dat", "safetensors"
  std::int64_t entries = 0;
  std::int64_t chunk_count = 0;
  std::int64_t chunk_size = 0;  // tokens; 0 = not known
  std::int64_t tokens = 0;      // the most that an entry saw; 0 = not known
  std::vector<std::string> datasets;
  std::optional<ExpertCoverage> experts;
  double seconds = 0;                // of the pass over the text
  std::vector<std::string> notices;  // coverage: what no token reached
};

// Figures of one entry over the mean squares a of its columns; matrices that saw no token left out.
// Those of llama-imatrix --show-statistics.
struct ImatrixTensor {
  std::string name;         // "blk.0.attn_q.weight"
  std::string tensor;       // "attn_q"
  std::int64_t layer = -1;  // -1 outside the blocks
  std::int64_t columns = 0;
  std::int64_t tokens = 0;  // chunks where their size is not known
  double sum = 0;           // of a over the columns; likewise:
  double min = 0;
  double max = 0;
  double mean = 0;
  double sigma = 0;              // standard deviation
  double active = 0;             // share with a > 1e-5
  double entropy = 0;            // bits, of a as a distribution over the columns
  double outliers = 0;           // share more than one sigma above the mean
  std::optional<double> cosine;  // with the same tensor of the previous layer
  std::int64_t zeros = 0;        // columns that were zero for every token
};

struct ImatrixReport {
  ImatrixResult file;                  // seconds = 0
  std::vector<ImatrixTensor> tensors;  // by tensor, then layer
};

// Runs the text through the model in chunks as llama-imatrix cuts them (a BOS first in each, for
// models that want one). Two passes over the same text give the same bytes.
Result<ImatrixResult> collect_imatrix(const ImatrixOptions& asked, Progress& progress);
// Adds the matrices of several texts of one model, or converts between .gguf and .dat. Statistics
// (.safetensors) merge with statistics of the same content only.
Result<ImatrixResult> merge_imatrix(const ImatrixMergeOptions& asked);
Result<ImatrixReport> show_imatrix(const std::filesystem::path& path);

std::string to_json(const ImatrixResult& result);
std::string to_json(const ImatrixReport& report);
// For a terminal, at most `width` columns.
std::string to_table(const ImatrixReport& report, int width);

}  // namespace quantlane
