// Adapters of fine-tuned models (LoRA, DoRA), merged into their base.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

struct MergeOptions {
  std::filesystem::path base;     // folder or GGUF file, quantized or not
  std::filesystem::path adapter;  // PEFT or MLX folder, or GGUF file
  std::filesystem::path out;      // folder, or a file ending in .gguf
  // f32, f16, bf16; "" = the type of most of the base's matrices, bf16 where that is quantized
  std::string type;
  bool force = false;  // replace an existing output
  int threads = 0;
};

// What the adapter did to one parameter.
struct MergedParameter {
  std::string name;
  std::int64_t rank = 0;     // 0 = given whole
  double scale = 0;          // of the low-rank product
  bool dora = false;         // rows brought to trained lengths
  std::int64_t tensors = 0;  // of the adapter
  double weight_norm = 0;    // Frobenius, of the base
  double change = 0;         // norm of the change, relative to that
  double rounding = 0;       // error of storing the result, relative to the change
};

struct MergeResult {
  std::filesystem::path artifact;
  std::string adapter_format;  // "peft", "mlx", "gguf"
  std::string made_for;        // the base that the adapter names, may be empty
  std::string type;            // of the matrices as written
  std::int64_t tensors = 0;    // of the adapter, all used
  std::vector<MergedParameter> parameters;
  std::uint64_t size_bytes = 0;
  double seconds = 0;
  std::vector<std::string> notices;
};

// Merges in float32. Nothing is written before every tensor of the adapter has found its parameter
// with the right shape; kInvalidArgument names the first that does not.
Result<MergeResult> merge_adapter(const MergeOptions& asked, Progress& progress);
std::string to_json(const MergeResult& result);

}  // namespace quantlane
