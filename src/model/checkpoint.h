// A model on disk, opened: configuration, parameters by role, tokenizer. A Hugging Face folder
// (plain or quantized in a known dialect) or a GGUF file.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "containers/container.h"
#include "containers/dialects/dialect.h"
#include "core/json.h"
#include "model/graph.h"
#include "model/weight.h"
#include "model/weight_edit.h"
#include "quantlane/result.h"

namespace quantlane {

class Tokenizer;

// The rows [first_row, first_row + rows) of the matrix view of `tensor` that are a parameter's.
struct StoredRows {
  const TensorInfo* tensor = nullptr;  // nullptr: nowhere
  std::int64_t first_row = 0;
};

class Checkpoint {
 public:
  // `path`: a folder with config.json, or a GGUF file. Verifies headers, configuration and that
  // every parameter of the graph is there with its shape. Errors name file, tensor and key.
  static Result<std::shared_ptr<const Checkpoint>> open(const std::filesystem::path& path);
  // Like open, but an unknown architecture is no error, nor a safetensors file without config.json:
  // graph() is null then (inspection, data-free lanes).
  static Result<std::shared_ptr<const Checkpoint>> open_any(const std::filesystem::path& path);
  // For its tokenizer alone: a GGUF file may lack the tensors of its architecture; graph() is null
  // for GGUF files.
  static Result<std::shared_ptr<const Checkpoint>> open_vocabulary(
      const std::filesystem::path& path);
  ~Checkpoint();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // The folder of config.json and the tokenizer: path() or the folder that has the file.
  [[nodiscard]] std::filesystem::path folder() const;
  [[nodiscard]] const Container& container() const { return *container_; }
  [[nodiscard]] const Json& config_json() const { return config_json_; }  // null for GGUF
  // What engines compute in: config.json's dtype; bf16 where there is none.
  [[nodiscard]] DType model_dtype() const;
  [[nodiscard]] const Architecture* architecture() const { return architecture_; }
  [[nodiscard]] const Graph* graph() const { return graph_ ? &*graph_ : nullptr; }
  // The dialect of a quantized Hugging Face folder, nullptr when plain or GGUF.
  [[nodiscard]] const Dialect* dialect() const { return dialect_; }
  [[nodiscard]] const QuantizationMap* quantization() const { return quantization_.get(); }
  // The parameter as Hugging Face has it (rows of q and k unpermuted, norm weights of Gemma minus
  // one), decoded on demand; usable while this checkpoint lives. kCorrupt when the tensors of a
  // quantized Linear contradict its scheme, kNotFound for a parameter of another model.
  Result<Weight> weight(const Parameter& parameter) const;
  // What a norm multiplies with, whole also where the weights are stored minus one.
  Result<std::vector<float>> norm_gains(const Parameter& norm) const;
  // Whether Arithmetic::kEngine and kFloat differ: for GGUF files but those of float32 matrices.
  [[nodiscard]] bool engine_differs() const;
  // How keys and values are to be rounded for the cache, with the scales that are stored; a scale
  // that is missing counts as 1, as in engines. kUnsupported for a scheme that is not known here.
  Result<KvRounding> kv_rounding() const;
  // The attentions without a scale that those of other layers have: "model.layers.3.self_attn: no
  // k_scale"; empty = none, or the scheme has no stored scales.
  [[nodiscard]] std::vector<std::string> missing_kv_scales() const;
  // Are the tensors of parameters stored as plain values or blocks, all of them?
  [[nodiscard]] bool weights_are_plain() const {
    return quantization() == nullptr || quantization()->cache_alone;
  }
  // Where the parameter is stored as plain values or blocks. Nowhere: a Linear of a dialect.
  [[nodiscard]] StoredRows stored(const Parameter& parameter) const;
  // The mapped pages of the parameter are not needed for now (Container::drop).
  void drop(const Parameter& parameter) const;
  // Those of a layer; -1: embedding, head and last norm.
  void drop_layer(std::int64_t layer) const;
  // The same files with edited weights, after the edits that this one has; weight() applies them,
  // stored() and container() know nothing of them. kInvalidArgument names an edit of no parameter
  // or of another shape.
  Result<std::shared_ptr<const Checkpoint>> with_edits(WeightEdits edits) const;
  // Is weight(parameter) another than the stored one?
  [[nodiscard]] bool edited(const Parameter& parameter) const;
  // Is any?
  [[nodiscard]] bool edited() const { return !edits_.empty(); }
  // Loaded on first use from tokenizer.json, tokenizer.model or GGUF metadata; thread-safe.
  Result<std::shared_ptr<const Tokenizer>> tokenizer() const;
  // Values in all tensors (of a quantized folder: in the decoder's parameters), and bytes of the
  // weight files.
  [[nodiscard]] std::uint64_t parameter_count() const;
  [[nodiscard]] std::uint64_t size_bytes() const;
  // Content hash of configuration, tokenizer, all tensor bytes and edits; computed once.
  Result<std::string> content_hash() const;

 private:
  Checkpoint();
  Result<void> read_hugging_face();
  Result<void> read_quantization(std::string origin);
  Result<void> read_gguf();
  Result<Weight> stored_weight(const Parameter& parameter) const;
  Result<Weight> gguf_weight(const Parameter& parameter, const StoredRows& place) const;
  [[nodiscard]] std::string hash_with_edits(std::string stored) const;
  struct Cache;
  std::filesystem::path path_;
  std::shared_ptr<const Container> container_;  // shared with edited copies
  Json config_json_;
  const Architecture* architecture_ = nullptr;
  std::optional<Graph> graph_;
  const Dialect* dialect_ = nullptr;
  std::shared_ptr<const QuantizationMap> quantization_;
  // By parameter name, in the order in which they are applied.
  std::map<std::string, std::vector<std::shared_ptr<const WeightEdit>>, std::less<>> edits_;
  std::unique_ptr<Cache> cache_;
};

// Is this the name that a scale of a key-value cache has?
bool names_kv_scale(std::string_view tensor);

}  // namespace quantlane
