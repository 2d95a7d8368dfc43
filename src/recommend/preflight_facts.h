// What an engine sees when it opens an artefact: configuration, Linears, their schemes and shapes.
// Read from a folder or GGUF file without the strictness of Checkpoint::open, since what a reader
// refuses is exactly what a pre-flight has to explain; or taken from a plan, before any byte.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"
#include "containers/dialects/dialect.h"
#include "core/json.h"
#include "quantlane/result.h"
#include "recommend/kv_facts.h"

namespace quantlane {

// How tensor parallelism cuts a Linear: by output rows (q, k, v, gate, up), by input columns (o,
// down), or not at all.
enum class Split : std::uint8_t { kRows, kColumns, kNone };

// What a tensor holds against the configuration.
struct Contradiction {
  std::string tensor;
  std::string text;
  bool out_of_range = false;  // indices of groups that are not there
};

// One Linear [rows, cols], by the name that Hugging Face gives it.
struct LinearFacts {
  std::string module;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::optional<LinearScheme> scheme;      // nullopt = kept plain
  bool stored_zeros = false;               // a tensor of zero points is there
  bool stored_order = false;               // a tensor of group indices is there
  std::string bad_scale = {};              // "weight_scale holds NaN"; empty = none found
  std::string bad_code = {};               // "weight in row 1, column 2 is NaN"; empty = none found
  std::optional<float> tensor_scale = {};  // NVFP4: of the weight
  std::optional<float> input_scale = {};   // NVFP4: of the inputs
  std::int64_t stored_bits = 0;   // of GPTQ's and AWQ's words by their shapes; 0 = no words
  bool stored_plain = false;      // floats of 16 bits or more
  bool stored_quantized = false;  // codes or scales are there
  bool kept_plain = false;        // the configuration says that it is not quantized
  std::optional<Contradiction> values = {};  // values against the scheme
  // A tensor of other dimensions than the dialect has, ones aside: "weight_scale is [64], not …".
  std::string other_shape = {};
};

// Linears that engines load as one: q, k and v; gate and up; all experts of a layer. Others alone.
struct FusedLinears {
  std::string name;  // "model.layers.0.self_attn.qkv_proj"
  std::vector<const LinearFacts*> shards;
  Split split = Split::kNone;
  bool experts = false;
};

struct ArtefactFacts {
  std::string container;       // "safetensors", "gguf"
  std::size_t files = 1;       // that hold tensors
  std::string method;          // quantization_config.quant_method; empty = not quantized
  std::string dialect;         // name of the Dialect, empty when none claims the configuration
  std::string unreadable;      // why the configuration cannot be read, in one line
  bool contradictory = false;  // … because it contradicts itself, the format or the tensors
  std::string mismatch;        // which tensor is not what config.json announces; empty = none
  Json config;                 // config.json
  bool config_mark = false;    // … begins with a byte order mark
  Json quantization;           // quantization_config, of config.json or of the side file
  Json side_file;              // the dialect's own file beside config.json; null = absent
  DType dtype = DType::kBF16;
  bool has_values = false;  // tensors were read, not only their headers
  std::vector<LinearFacts> linears;
  std::vector<std::string> tensors;  // all names
  std::string packed = {};  // the first tensor that holds many quantized Linears, not in `linears`
  std::vector<AttentionFacts> attentions;  // and their scales of the key-value cache

  [[nodiscard]] bool quantized() const { return !quantization.is_null(); }
  [[nodiscard]] bool has_tensor_ending(std::string_view suffix) const;
  // config.json's `key`, of the text model where it is nested.
  [[nodiscard]] const Json& model_key(std::string_view key) const;
  // Groups point into `linears`.
  [[nodiscard]] std::vector<FusedLinears> fused() const;
};

// `read_values`: look into scales and zero points too. Errors only where there is nothing to judge:
// no such file, a damaged header, config.json that is no JSON object.
Result<ArtefactFacts> read_artefact_facts(const std::filesystem::path& path, bool read_values);

// Of an artefact that is not written yet: its config.json (with quantization_config) and tensors.
Result<ArtefactFacts> planned_artefact_facts(const Json& config,
                                             std::span<const PlannedTensor> tensors);

}  // namespace quantlane
