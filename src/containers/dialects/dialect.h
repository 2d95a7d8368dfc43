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
#include "formats/kv_scheme.h"
#include "formats/quant_tensor.h"

namespace quantlane {

// How one Linear is (to be) stored. A static scale of the inputs is stored with the Linear: in a
// scheme that was read from a configuration it is 0.
struct LinearScheme {
  Scheme weight;
  std::optional<ActivationScheme> input;  // absent = activations stay as they are
  bool operator==(const LinearScheme&) const = default;
};

// One Linear as read, with the static scales of its inputs.
struct StoredLinear {
  QuantTensor weight;
  std::optional<ActivationScheme> input;
};

// Which Linears of a checkpoint are quantized and how, read from config.json's quantization_config.
class QuantizationMap {
 public:
  virtual ~QuantizationMap() = default;
  // The scheme of the module ("model.layers.0.self_attn.q_proj"), nullopt when it is kept plain.
  [[nodiscard]] virtual std::optional<LinearScheme> scheme_of(std::string_view module) const = 0;
  // Does the configuration say that this module is kept plain? Where the tensors decide what
  // scheme_of() answers, this may contradict them.
  [[nodiscard]] virtual bool keeps_plain(std::string_view module) const {
    return !scheme_of(module).has_value();
  }
  // How the key-value cache is to be rounded: a name of kv_schemes(), empty = not at all. What the
  // configuration says and no row is, is in kv_unknown.
  std::string kv_scheme;
  std::string kv_unknown;
  std::int64_t kv_group_size = 0;  // values of a head that share a scale; 0 = not said
  bool cache_alone = false;        // no weights are quantized, whatever their names
};

// What a map is read from.
struct QuantizationSource {
  const Json& config;          // quantization_config
  const Container& container;  // outlives the map; some dialects say by tensors what is quantized
  std::string origin;          // the file of `config`, for messages
  DType model_dtype;           // config.json's dtype: what engines compute in
};

// Linears that are stored alike.
struct SchemeGroup {
  LinearScheme scheme;
  std::vector<std::string> modules;
};

// How the bytes of a slice of rows enter a stored tensor: after those of the rows before (kRows),
// beside them along the second dimension (kColumns), or not at all: the tensor belongs to the whole
// Linear (kWhole).
enum class SliceAxis : std::uint8_t { kRows, kColumns, kWhole };

struct PlannedPart {
  PlannedTensor tensor;
  SliceAxis axis = SliceAxis::kRows;
};

// The writing half of a dialect.
struct DialectWriter {
  // Sets what the dialect fixes beyond the spelling of the scheme: types of scales, roundings of
  // its engines for a model of `model_dtype`.
  void (*complete)(LinearScheme& scheme, DType model_dtype);
  // nullopt when the dialect can hold the scheme, else why not.
  std::optional<std::string> (*cannot_hold)(const LinearScheme& scheme, std::int64_t rows,
                                            std::int64_t cols);
  // Slices begin at multiples of this many rows.
  std::int64_t (*row_multiple)(const LinearScheme& scheme);
  // The tensors that `module` becomes.
  std::vector<PlannedPart> (*plan)(std::string_view module, const LinearScheme& scheme,
                                   std::int64_t rows, std::int64_t cols);
  // The bytes of each planned tensor as if `slice` were the whole matrix; only weight shapes that
  // are stored say `total_rows`.
  std::vector<std::vector<std::byte>> (*pack)(const LinearScheme& scheme, const QuantTensor& slice,
                                              std::int64_t total_rows);
  // quantization_config for a checkpoint where every Linear but those in `ignore` has `scheme`.
  Json (*write_config)(const LinearScheme& scheme, std::span<const std::string> ignore);
  // The same where Linears differ; the largest group first. nullptr: all Linears of a checkpoint
  // have one scheme.
  Json (*write_groups)(std::span<const SchemeGroup> groups,
                       std::span<const std::string> ignore) = nullptr;
  // The contents of Dialect::side_file for such a quantization_config; nullptr: none is written.
  Json (*to_side_file)(const Json& quantization_config) = nullptr;
  // The bytes of the planned tensors of one Linear, all slices of pack() put together, into what is
  // stored, where that depends on all of them; nullptr: they are stored as they are. The first
  // tensor is not there if it follows the rows (kRows): it is streamed, and parts[0] is empty.
  void (*finish)(const LinearScheme& scheme, std::int64_t rows, std::int64_t cols,
                 std::vector<std::vector<std::byte>>& parts) = nullptr;
  // Adds the scheme of a key-value cache with heads of `head_dim` to quantization_config; nullptr:
  // the dialect has none. cannot_hold_kv: nullopt, or why the dialect cannot hold this one. Names
  // of the calibrated scales of keys and values (F32 [1], or [heads, 1, 1]) below the attention.
  void (*set_kv)(Json& quantization_config, const KvScheme& scheme,
                 std::int64_t head_dim) = nullptr;
  std::optional<std::string> (*cannot_hold_kv)(const KvScheme& scheme) = nullptr;
  std::string_view key_scale = {};
  std::string_view value_scale = {};
  // May scales that complete() leaves in bf16 be stored in f16 or f32, too, and static ones of
  // inputs in f32?
  bool any_scale_type = false;
};

struct Dialect {
  std::string_view name;  // "compressed-tensors"
  // Does `quantization_config` (or the absence of one: null) say this dialect?
  bool (*recognises)(const Json& quantization_config);
  Result<std::unique_ptr<QuantizationMap>> (*read_map)(const QuantizationSource& source);
  // Are the tensors of `module` there, with types and shapes that fit [rows, cols]?
  Result<void> (*verify)(const Container& container, std::string_view module,
                         const LinearScheme& scheme, std::int64_t rows, std::int64_t cols);
  // Reads them into logical form; makes the checks of verify() and those of values.
  Result<StoredLinear> (*unpack)(const Container& container, std::string_view module,
                                 const LinearScheme& scheme, std::int64_t rows, std::int64_t cols);
  const DialectWriter* writer;  // nullptr: read only
  // The file beside config.json to which tools write the configuration too, older ones only; and
  // what quantization_config would be with its contents.
  std::string_view side_file = {};
  Json (*from_side_file)(const Json& contents) = nullptr;
  // After verify(): do the values agree with the scheme: zero points, the order of groups, codes
  // that may be out of its range? Those checks of unpack() alone; nullptr: there are none.
  Result<void> (*verify_values)(const Container& container, std::string_view module,
                                const LinearScheme& scheme, std::int64_t rows,
                                std::int64_t cols) = nullptr;
};

std::span<const Dialect* const> dialects();
const Dialect* dialect_by_name(std::string_view name);

}  // namespace quantlane
