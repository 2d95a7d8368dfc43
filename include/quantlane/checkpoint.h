// What is in a checkpoint, and its tokenizer as a tool of its own.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

struct TensorSummary {
  std::string name;
  std::string type;
  std::vector<std::int64_t> shape;
  std::uint64_t size_bytes = 0;
};

struct SchemeCount {
  std::string scheme;  // "int4_g128_sym"
  std::int64_t linears = 0;
};

// How the Linears of a quantized folder are stored, the most frequent scheme first; all empty for
// other checkpoints.
struct StoredSchemes {
  std::vector<SchemeCount> weights;  // "kept plain" among them
  std::vector<SchemeCount> inputs;   // of the quantized ones; "not rounded" among them
  std::string kv_cache;              // "FP8 E4M3, one scale per layer", "not rounded"
};

struct InspectResult {
  std::filesystem::path path;
  std::string container;     // "safetensors", "gguf"
  std::string architecture;  // empty when unknown
  std::string dialect;       // "compressed-tensors", "plain", "gguf"
  std::uint64_t parameters = 0;
  std::uint64_t size_bytes = 0;
  double bits_per_weight = 0;
  StoredSchemes schemes;
  std::vector<std::pair<std::string, std::string>> configuration;  // key, value; display order
  std::vector<std::pair<std::string, std::string>> metadata;       // of the container, shortened
  std::string tokenizer;  // "gpt2 / smollm, 49152 tokens", or why it is unusable
  std::vector<TensorSummary> tensors;
  std::vector<std::string> problems;  // damaged tensors, missing files; empty = none found
};

struct InspectOptions {
  std::filesystem::path checkpoint;
  bool verify = true;  // read every tensor: NaN, infinities, zero or non-finite scales
  int threads = 0;
};

Result<InspectResult> inspect_checkpoint(const InspectOptions& options, Progress& progress);
std::string to_json(const InspectResult& result);

// Ids of a UTF-8 file; special tokens spelled in the text are ordinary text unless asked for.
Result<std::vector<std::int32_t>> tokenize_file(const std::filesystem::path& checkpoint,
                                                const std::filesystem::path& file,
                                                bool parse_special);
// As a JSON string; kCorrupt for bytes that are no UTF-8.
Result<std::string> to_json_text(std::string_view text);

// The bytes that the ids (whitespace-separated in `file`) stand for.
Result<std::string> detokenize_file(const std::filesystem::path& checkpoint,
                                    const std::filesystem::path& file);

}  // namespace quantlane
