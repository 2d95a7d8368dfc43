// How an engine spells a quantized Linear inside a safetensors checkpoint: tensor names, bit order,
// configuration keys. One file pair and one row in dialects() each.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"
#include "core/json.h"
#include "formats/quant_tensor.h"

namespace quantlane {

// How one Linear is (to be) stored.
struct LinearScheme {
  Scheme weight;
  std::optional<ActivationScheme> input;  // absent = activations stay as they are
  bool operator==(const LinearScheme&) const = default;
};

// Which Linears of a checkpoint are quantized and how, read from config.json's quantization_config.
class QuantizationMap {
 public:
  virtual ~QuantizationMap() = default;
  // The scheme of the module ("model.layers.0.self_attn.q_proj"), nullopt when it is kept plain.
  [[nodiscard]] virtual std::optional<LinearScheme> scheme_of(std::string_view module) const = 0;
};

struct Dialect {
  std::string_view name;  // "compressed-tensors"
  // Does `quantization_config` (or the absence of one: null) say this dialect?
  bool (*recognises)(const Json& quantization_config);
  Result<std::unique_ptr<QuantizationMap>> (*read_config)(const Json& quantization_config,
                                                          const std::string& origin);
  // Reads the tensors of `module` into logical form. Checks dtypes and shapes against [rows, cols].
  Result<QuantTensor> (*unpack)(const Container& container, std::string_view module,
                                const LinearScheme& scheme, std::int64_t rows, std::int64_t cols);
  // nullopt when the dialect can hold the scheme, else why not.
  std::optional<std::string> (*cannot_hold)(const LinearScheme& scheme, std::int64_t rows,
                                            std::int64_t cols);
  // The tensors that `module` becomes, in the order in which pack_rows fills them.
  std::vector<PlannedTensor> (*plan)(std::string_view module, const LinearScheme& scheme,
                                     std::int64_t rows, std::int64_t cols);
  // Appends the bytes of a slice of rows to `parts` (one buffer per planned tensor). Parts that do
  // not depend on rows are appended by the slice that `first_slice` marks.
  void (*pack_rows)(const QuantTensor& slice, bool first_slice, std::int64_t total_rows,
                    std::vector<std::vector<std::byte>>& parts);
  // quantization_config for a checkpoint where every Linear but those in `ignore` has `scheme`.
  Json (*write_config)(const LinearScheme& scheme, std::span<const std::string> ignore);
};

std::span<const Dialect* const> dialects();
const Dialect* dialect_by_name(std::string_view name);

}  // namespace quantlane
