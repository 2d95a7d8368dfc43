// One lane of one checkpoint, and conversion without quantizing.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

struct QuantizeOptions {
  std::filesystem::path checkpoint;
  std::string lane;           // "w4a16", "gguf:q4_k_m", …
  std::filesystem::path out;  // folder, or a file ending in .gguf for GGUF lanes
  // Text for lanes that weigh errors by activation statistics; default: the embedded prose.
  std::optional<std::filesystem::path> calibration_text;
  // Statistics of an earlier run (work/calibration.safetensors of compare) instead of a new pass.
  std::optional<std::filesystem::path> statistics;
  std::int64_t calibration_chunks = 32;  // of 512 tokens
  bool data_free = false;                // no calibration pass: every input column counts the same
  bool arch_agnostic =
      false;           // unknown architecture: matrices by name, data-free folder lanes only
  bool force = false;  // replace an existing output
  int threads = 0;
};

struct QuantizeResult {
  std::string lane;
  std::filesystem::path artifact;
  std::string format;  // encodings, most frequent first
  std::uint64_t size_bytes = 0;
  double bits_per_weight = 0;
  double seconds = 0;  // quantizing and writing
  double calibration_seconds = 0;
  std::uint64_t source_bytes = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::map<std::string, std::int64_t> tensor_types;
  std::vector<std::string> notices;
};

Result<QuantizeResult> quantize_checkpoint(const QuantizeOptions& options, Progress& progress);

struct ConvertOptions {
  std::filesystem::path checkpoint;  // plain or quantized, folder or GGUF
  std::filesystem::path out;         // folder, or a file ending in .gguf
  std::string type = "bf16";         // f32, f16 or bf16
  bool force = false;
  int threads = 0;
};

// Dequantizes every tensor to `type`.
Result<QuantizeResult> convert_checkpoint(const ConvertOptions& options, Progress& progress);

std::string to_json(const QuantizeResult& result);
// Names and summaries of all lanes.
std::vector<std::pair<std::string, std::string>> list_lanes();

}  // namespace quantlane
