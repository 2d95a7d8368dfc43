// What the readers of adapters share; for src/model/adapters only.
#pragma once
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "model/adapters/adapter.h"

namespace quantlane {

// The tensors of an adapter file, and which of them were used.
class AdapterTensors {
 public:
  AdapterTensors(const Container& container, std::string origin)
      : container_(container), origin_(std::move(origin)) {}

  [[nodiscard]] const TensorInfo* find(std::string_view name) const {
    return container_.find(name);
  }
  // Under the first of these prefixes that has it.
  [[nodiscard]] const TensorInfo* find(std::span<const std::string_view> prefixes,
                                       const std::string& name) const;
  [[nodiscard]] std::span<const TensorInfo> all() const { return container_.tensors(); }
  // All values as float32, row-major; marks the tensor as used. kCorrupt for values that are not
  // finite, kUnsupported for integers.
  Result<std::vector<float>> take(const TensorInfo& tensor);
  // kInvalidArgument naming the first tensor that nothing used.
  [[nodiscard]] Result<void> check_all_used() const;
  [[nodiscard]] const std::string& origin() const { return origin_; }

 private:
  const Container& container_;
  std::string origin_;
  std::set<std::string, std::less<>> used_;
};

// [rows, cols] to [cols, rows].
std::vector<float> transposed(const std::vector<float>& values, std::int64_t rows,
                              std::int64_t cols);

// The parameter of this name, or nullptr.
const Parameter* find_parameter(const Graph& graph, std::string_view name);
// "model.layers.0.mlp.up_proj" of a matrix with a module name under which adapters know it.
std::string adapter_module(const Parameter& parameter);
// May an adapter change it by a low-rank product?
bool takes_delta(const Parameter& parameter);

// Errors of the kind "the adapter is of another base".
Error other_base(const std::string& file, const std::string& tensor, std::string expected,
                 std::string found);
std::string shape_text(const std::vector<std::int64_t>& shape);

// Reads a JSON object of at most 1 MiB.
Result<Json> read_adapter_config(const std::filesystem::path& path);

// A configuration's positive integer, up to a million; kCorrupt otherwise.
Result<std::int64_t> positive_integer(const Json& config, const std::string& key,
                                      const std::string& origin);

// A value of the configuration that is not what it can be; `tool` wrote the adapter.
Error bad_adapter_value(const std::string& origin, const std::string& key, std::string expected,
                        std::string found, const std::string& tool);
// kCorrupt for a scale that is 0, which would merge nothing, or that float32 does not hold.
Result<void> check_scale(double scale, const std::string& key, const std::string& origin);

}  // namespace quantlane
