// Adapters of fine-tuned models: low-rank changes of matrices (LoRA, Hu et al. 2021; DoRA, Liu et
// al. 2024) and replaced parameters, read from what PEFT, MLX and llama.cpp write and bound to the
// checkpoint that they are for. One file and one row in adapter_formats() each.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"
#include "core/threads.h"
#include "model/checkpoint.h"
#include "model/weight_edit.h"
#include "quantlane/result.h"

namespace quantlane {

// W' = W + scale * b a; with a magnitude, every row of that is then brought to its length (DoRA),
// or every column.
struct AdapterDelta {
  std::int64_t rank = 0;
  double scale = 1;
  std::vector<float> a;              // [rank, cols of W]
  std::vector<float> b;              // [rows of W, rank]
  std::vector<float> magnitude;      // [rows of W], or [cols of W]; empty = none
  bool of_columns = false;           // the magnitudes are lengths of columns
  std::vector<std::string> tensors;  // of the file
};

// A parameter given whole.
struct AdapterReplacement {
  std::vector<float> values;  // [rows, cols]
  std::string tensor;         // of the file
};

// Some rows of a parameter given whole: trained tokens.
struct AdapterRows {
  std::vector<std::int64_t> rows;  // each once
  std::vector<float> values;       // [rows.size(), cols]
  std::string tensor;              // of the file
};

// What a file says, in terms of the graph that it was read for.
struct Adapter {
  std::filesystem::path path;
  std::string format;    // "peft", "mlx", "gguf"
  std::string made_for;  // the base model that the file names, may be empty
  // By parameter name of the graph ("model.layers.0.self_attn.q_proj.weight").
  std::map<std::string, AdapterDelta> deltas;
  std::map<std::string, AdapterReplacement> replacements;
  std::map<std::string, AdapterRows> rows;
  std::vector<std::string> notices;
  [[nodiscard]] std::size_t tensor_count() const;
};

// What adapters are read for: shapes and names are checked against it.
struct AdapterBase {
  const Graph& graph;
  const Architecture& architecture;
  std::string path;  // for messages
};

struct AdapterFormat {
  std::string_view name;
  bool (*recognises)(const std::filesystem::path& path);
  // Every tensor of the file is used or named in an error; kInvalidArgument for shapes and names of
  // another base, kUnsupported for methods that cannot be merged, kCorrupt for a file that
  // contradicts its configuration.
  Result<Adapter> (*read)(const std::filesystem::path& path, const AdapterBase& base);
};

std::span<const AdapterFormat* const> adapter_formats();
// `path`: a PEFT or MLX folder, or a GGUF file. kUnsupported lists what was looked for.
Result<Adapter> read_adapter(const std::filesystem::path& path, const AdapterBase& base);
Result<Adapter> read_adapter(const std::filesystem::path& path, const Checkpoint& base);

// What an adapter does to one parameter of its base.
struct AdapterAccount {
  std::string parameter;
  std::int64_t rank = 0;  // 0: replaced
  double scale = 0;
  bool dora = false;
  std::size_t tensors = 0;  // of the adapter
  double weight_norm = 0;   // Frobenius, of the base
  double change_norm = 0;   // of what is added to it
  // The error of rounding the merged values to the stored type, relative to the change: 1 would
  // lose all of it.
  double rounding = 0;
  [[nodiscard]] double relative() const { return weight_norm > 0 ? change_norm / weight_norm : 0; }
};

struct BoundAdapter {
  std::shared_ptr<const Checkpoint> merged;  // the base with the edits
  std::vector<AdapterAccount> accounts;      // in the graph's order; without `rounding`
  std::vector<std::string> notices;
};

// The base under the adapter, in float32; reads the weights that it changes. kInvalidArgument where
// shapes differ or numbers are not finite.
Result<BoundAdapter> bind_adapter(const Adapter& adapter,
                                  const std::shared_ptr<const Checkpoint>& base, ThreadPool& pool);
// Fills in `rounding` for values stored as `type` (f32, f16 or bf16). kInvalidArgument with the
// first value that `type` does not hold.
Result<void> measure_rounding(BoundAdapter& bound, const Checkpoint& base, DType type,
                              ThreadPool& pool);

}  // namespace quantlane
