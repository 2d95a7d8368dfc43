// One lane of one checkpoint, and conversion without quantizing.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "quantlane/checkpoint.h"
#include "quantlane/coverage.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

// Artefacts in several files. GGUF: the first stands for all. Folders: an index says what is where.
struct SplitOptions {
  bool keep = false;       // GGUF: as many files as the source has
  std::string max_size;    // GGUF: "2GiB": files of at most that size; "" = one file
  std::string shard_size;  // folders: the same; "" = as the source has its tensors, or one file
};

// Wishes beyond the recipe of a GGUF lane. One that has no effect is an error.
struct GgufOptions {
  // "pattern=type": tensors whose GGUF name the pattern (PCRE2) is found in; the first match wins.
  // Folder lanes: "pattern=lane" or "pattern=keep", by the names of Linears.
  std::vector<std::string> tensor_types;
  std::string output_type;           // of the head, or the tied embedding; "" = the recipe's
  std::string token_embedding_type;  // "" = the recipe's
  bool pure = false;                 // every matrix gets the base type of the recipe
  // "4.5GiB": types are chosen matrix by matrix so that the file is at most that large and loses
  // least; or "4.25": tensor bits per parameter. Not both, nor with the wishes above. "" = the
  // recipe's.
  std::string target_size;
  std::string target_bpw;
  SplitOptions split;
};

struct QuantizeOptions {
  std::filesystem::path checkpoint;
  std::string lane;           // "w4a16", "gguf:q4_k_m", …
  std::filesystem::path out;  // folder, or a file ending in .gguf for GGUF lanes
  // Text for lanes that weigh errors by activation statistics; default: the embedded prose.
  std::optional<std::filesystem::path> calibration_text;
  // Statistics of an earlier run (quantlane imatrix -o FILE.safetensors, or
  // work/calibration.safetensors of compare) instead of a new pass.
  std::optional<std::filesystem::path> statistics;
  // Importance matrix (.gguf or .dat) of llama-imatrix or quantlane imatrix, or statistics; GGUF
  // lanes only.
  std::optional<std::filesystem::path> imatrix;
  // Merged in float32 before anything else: the merged model is calibrated and quantized. PEFT or
  // MLX folder, or GGUF file. Not with `statistics` or `imatrix`.
  std::optional<std::filesystem::path> adapter;
  std::int64_t calibration_chunks = 32;  // of 512 tokens
  bool data_free = false;                // no calibration pass: every input column counts the same
  bool force_unweighted = false;  // write types below 4 bits that need importances without any
  bool arch_agnostic =
      false;  // unknown architecture: matrices by name, data-free folder lanes only
  GgufOptions gguf;
  // Pre-flight before a byte is written: kInfeasible where this engine will not load the artefact.
  // Empty: the engines that the lane names are asked, and what they refuse is a notice.
  std::string engine;
  std::string gpu;  // a name of data/hardware; empty = rules about devices are left out
  std::int64_t tensor_parallel = 1;
  std::string engine_version;
  // Scheme of the key-value cache to write with the weights: fp8 or fp8_head with calibrated
  // scales, int8 or int4; unquantized folder lanes and those whose dialect has it. Empty: that of
  // the source where the files of the lane have a place for it. "none": none.
  std::string kv;
  // Give matrices that the source holds quantized new codes where the lane cannot take theirs.
  bool allow_requantize = false;
  bool force = false;  // replace an existing output
  int threads = 0;
  // Resident memory that the job may take, mapped files counted: "6GiB". Hidden states that do not
  // fit go to an unnamed file beside `out`; the artefact is the same. "available": what the machine
  // has.
  std::string memory_limit = "available";
};

// A matrix that the source holds quantized.
struct TransferredMatrix {
  std::string tensor;
  std::string from;  // encodings: "int4_g128_sym"
  std::string to;    // "q4_0"
  // "copied" (same bytes), "moved" (same codes, scales rounded to what `to` holds), "requantized",
  // "dequantized"
  std::string how;
  // Relative RMSE of the artefact's codes times scales from the source's (of plain values, from
  // what the source decodes to).
  double deviation = 0;
  // What the deviation is the root of: sums of squared differences and of squared values.
  double squared_error = 0;
  double squared_norm = 0;
  std::int64_t differing = 0;  // values that are not the same
  // The same of decoded weights: engines of GPTQ, AWQ and others round each product of code and
  // scale, so that the same codes and scales decode otherwise in another format.
  double decoded_deviation = 0;
  double decoded_squared_error = 0;
  double decoded_squared_norm = 0;
};

struct QuantizeResult {
  std::string lane;
  std::filesystem::path artifact;            // of a split file: the first
  std::vector<std::filesystem::path> files;  // the artefact, or all files of a split one
  std::string format;                        // encodings, most frequent first
  std::uint64_t size_bytes = 0;              // of the weight files
  double bits_per_weight = 0;
  double seconds = 0;              // quantizing and writing
  double calibration_seconds = 0;  // with the choice of types for a size
  double total_seconds = 0;        // of everything, also opening, planning and checking
  std::uint64_t source_bytes = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::map<std::string, std::int64_t> tensor_types;
  std::optional<ExpertCoverage> experts;  // by the calibration text
  DeadChannels idle_columns;              // of Linears whose inputs the calibration never moved
  DeadChannels zero_rows;                 // of Linears as they were
  std::vector<std::string> notices;
  // With a quantized source, read back from disk; empty otherwise.
  std::vector<TransferredMatrix> transfers;
};

Result<QuantizeResult> quantize_checkpoint(const QuantizeOptions& asked, Progress& progress);

// What quantize_checkpoint would write; `asked.out` may be empty. Reads no weight, unless types
// are chosen for a size: that is measured.
struct QuantizePlan {
  std::string lane;
  std::vector<TensorSummary> tensors;  // as stored, in file order
  std::uint64_t size_bytes = 0;        // of the tensors
  std::uint64_t source_bytes = 0;
  double bits_per_weight = 0;
  std::size_t files = 1;  // that hold tensors
  std::vector<std::string> notices;
};
Result<QuantizePlan> plan_quantization(const QuantizeOptions& asked, Progress& progress);

struct ConvertOptions {
  std::filesystem::path checkpoint;  // plain or quantized, folder or GGUF
  std::filesystem::path out;         // folder, or a file ending in .gguf
  // f32, f16, bf16; "same" (GGUF): every matrix as it is, codes in the type that holds them; or a
  // lane of folders ("gptq", "w4a16-asym", "nvfp4a16"): the same codes and scales in its dialect
  std::string type = "bf16";
  SplitOptions split;
  // "none": leave out the scheme of the source's key-value cache. Empty: as in QuantizeOptions.
  std::string kv;
  bool force = false;
  int threads = 0;
};

// kUnsupported for "same" where GGUF has no type for the codes, and for lanes that do not hold
// them.
Result<QuantizeResult> convert_checkpoint(const ConvertOptions& asked, Progress& progress);

std::string to_json(const QuantizeResult& result);
std::string to_json(const QuantizePlan& plan);
// "+awq" and the like with summaries: transforms, then algorithms.
std::vector<std::pair<std::string, std::string>> list_lane_options();
// Names and summaries of all lanes.
std::vector<std::pair<std::string, std::string>> list_lanes();
// How more names are spelled: "w<4|8>a16[-g<32|64|128>|-channel]".
std::vector<std::string> list_lane_variants();

}  // namespace quantlane
