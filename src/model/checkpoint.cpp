#include "model/checkpoint.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "containers/dialects/packed_linears.h"
#include "core/cancel.h"
#include "core/check.h"
#include "core/evenly_spaced.h"
#include "core/file.h"
#include "core/hash.h"
#include "model/checkpoint_cache.h"
#include "model/checkpoint_parts.h"
#include "model/gguf_factors.h"

namespace quantlane {
namespace {

constexpr std::string_view kGguf = "gguf";
constexpr std::uint64_t kLargestConfig = std::uint64_t{16} << 20;

// `plain`: a folder whose weights are not quantized, so that its matrices can be.
Error unknown_architecture(std::string name, const std::string& origin, bool plain) {
  return unsupported("finding the architecture of the model")
      .in(origin)
      .expects("one of " + supported_architectures())
      .got(name.empty() ? "no architecture" : std::move(name))
      .advise(plain ? "quantize to a folder lane with --arch-agnostic --data-free; nothing here "
                      "runs the model"
                    : "quantlane inspect shows what is in it; nothing here runs or converts it");
}

// A head is stored although the configuration says that the embedding serves: transformers unties
// the two, other engines drop the head. Evenly spaced rows tell whether they differ.
Result<void> check_tied_head(const Container& container, const ModelConfig& config) {
  constexpr std::int64_t kSampledRows = 64;
  if (!config.tied_embeddings) return {};
  const TensorInfo* head = container.find("lm_head.weight");
  const TensorInfo* embedding = container.find(config.tensor_prefix + "embed_tokens.weight");
  if (head == nullptr || embedding == nullptr || head->shape.size() != 2) return {};
  bool same = head->shape == embedding->shape && head->type == embedding->type;
  const auto row_bytes = static_cast<std::size_t>(head->type.bytes_of(head->shape[1]));
  for (const std::int64_t row : evenly_spaced(head->shape[0], kSampledRows)) {
    const std::size_t at = static_cast<std::size_t>(row) * row_bytes;
    same = same && std::ranges::equal(container.bytes(*head).subspan(at, row_bytes),
                                      container.bytes(*embedding).subspan(at, row_bytes));
  }
  if (same) return {};
  return fail(at_tensor(corrupt("matching the tensors with the configuration"), container, *head)
                  .expects("the values of the embedding, as tie_word_embeddings is true")
                  .got("others, which engines disagree about")
                  .advise("set tie_word_embeddings to false in config.json to keep the head, or "
                          "remove the tensor"));
}

}  // namespace

Checkpoint::Checkpoint() : cache_(std::make_unique<Cache>()) {}
Checkpoint::~Checkpoint() = default;

// transformers 5 says dtype, older ones torch_dtype; both with or without "torch.".
DType Checkpoint::model_dtype() const {
  std::string_view name =
      config_json_["dtype"].string(config_json_["torch_dtype"].string("bfloat16"));
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "float16") return DType::kF16;
  return name == "float32" ? DType::kF32 : DType::kBF16;
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open(const std::filesystem::path& path) {
  QUANTLANE_TRY(auto checkpoint, open_any(path));
  if (checkpoint->graph() != nullptr) return checkpoint;
  if (checkpoint->config_json_.is_null() && checkpoint->container().kind() != kGguf) {
    return fail(unsupported("opening a model")
                    .in(path.string())
                    .expects("config.json beside it")
                    .got("a lone safetensors file")
                    .advise("give the folder of the model; quantlane inspect shows single files"));
  }
  if (checkpoint->config_json_.is_null()) {
    const std::string* name = checkpoint->container().metadata().string("general.architecture");
    return fail(unknown_architecture(name == nullptr ? "" : *name, path.string(), false));
  }
  const Json& classes = checkpoint->config_json_["architectures"];
  return fail(unknown_architecture(classes.items().empty() ? "" : classes.items()[0].dump(),
                                   (checkpoint->folder() / "config.json").string(),
                                   checkpoint->weights_are_plain()));
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open_any(const std::filesystem::path& path) {
  auto checkpoint = std::shared_ptr<Checkpoint>(new Checkpoint());
  checkpoint->path_ = path;
  QUANTLANE_TRY(checkpoint->container_, open_container(path));
  if (checkpoint->container_->kind() == kGguf) {
    QUANTLANE_TRY_VOID(checkpoint->read_gguf());
  } else {
    QUANTLANE_TRY_VOID(checkpoint->read_hugging_face());
  }
  return checkpoint;
}

Result<std::shared_ptr<const Checkpoint>> Checkpoint::open_vocabulary(
    const std::filesystem::path& path) {
  auto checkpoint = std::shared_ptr<Checkpoint>(new Checkpoint());
  checkpoint->path_ = path;
  QUANTLANE_TRY(checkpoint->container_, open_container(path));
  if (checkpoint->container_->kind() != kGguf) return open_any(path);
  return checkpoint;
}

std::filesystem::path Checkpoint::folder() const {
  return std::filesystem::is_directory(path_) ? path_ : path_.parent_path();
}

Result<void> Checkpoint::read_hugging_face() {
  const std::string origin = (folder() / "config.json").string();
  // A lone file: its tensors can be looked at.
  if (!std::filesystem::is_directory(path_) && !std::filesystem::exists(origin)) return {};
  QUANTLANE_TRY(const std::string text, read_text(origin, kLargestConfig));
  QUANTLANE_TRY(config_json_, Json::parse(text, origin));
  if (!config_json_.is_object()) {
    return fail(corrupt("reading the model configuration").in(origin).expects("a JSON object"));
  }
  QUANTLANE_TRY_VOID(read_quantization(origin));
  const Json& classes = config_json_["architectures"];
  if (classes.items().empty()) return {};
  architecture_ = architecture_by_class(classes.items()[0].string());
  if (architecture_ == nullptr) return {};
  QUANTLANE_TRY(graph_, folder_graph(config_json_, origin, *container_));
  QUANTLANE_TRY_VOID(verify_parameters(*container_, *graph_, false, dialect_, quantization_.get()));
  return check_tied_head(*container_, graph_->config);
}

// From config.json, or from the file beside it that the tools of some dialects write instead.
Result<void> Checkpoint::read_quantization(std::string origin) {
  Json config = config_json_["quantization_config"];
  for (const Dialect* row : dialects()) {
    if (!config.is_null() || row->side_file.empty()) continue;
    const std::filesystem::path path = folder() / row->side_file;
    if (!std::filesystem::exists(path)) continue;
    QUANTLANE_TRY(const std::string text, read_text(path, kLargestConfig));
    QUANTLANE_TRY(const Json contents, Json::parse(text, path.string()));
    config = row->from_side_file(contents);
    origin = path.string();
  }
  if (config.is_null()) return {};
  if (!config.is_object()) {
    return fail(corrupt("reading a quantized checkpoint")
                    .in(origin)
                    .of("quantization_config")
                    .expects("an object with quant_method")
                    .got(config.dump())
                    .advise("copy the configuration from the original checkpoint again, or remove "
                            "the key if the weights are not quantized"));
  }
  std::string names;
  for (const Dialect* row : dialects()) {
    names += fmt::format("{} ", row->name);
    if (dialect_ == nullptr && row->recognises(config)) dialect_ = row;
  }
  if (dialect_ == nullptr) {
    return fail(unsupported("reading a quantized checkpoint")
                    .in(origin)
                    .of("quantization_config.quant_method")
                    .expects("one of: " + names)
                    .got(config["quant_method"].dump()));
  }
  QUANTLANE_TRY(quantization_, dialect_->read_map({.config = config,
                                                   .container = *container_,
                                                   .origin = origin,
                                                   .model_dtype = model_dtype()}));
  return {};
}

Result<void> Checkpoint::read_gguf() {
  architecture_ = architecture_of_gguf(container_->metadata());
  if (architecture_ == nullptr) return {};
  QUANTLANE_TRY(ModelConfig config,
                architecture_->from_gguf(container_->metadata(), path_.string()));
  QUANTLANE_TRY_VOID(complete_gguf_config(*container_, config));
  graph_ = build_graph(config);
  QUANTLANE_TRY_VOID(verify_parameters(*container_, *graph_, true, nullptr, nullptr));
  return verify_factors(*container_, *graph_);
}

StoredRows Checkpoint::stored(const Parameter& parameter) const {
  if (!graph_) return {};
  const auto places = container_->kind() == kGguf ? gguf_places(parameter, graph_->config)
                                                  : hugging_face_places(parameter, graph_->config);
  for (const TensorPlace& place : places) {
    if (const TensorInfo* tensor = container_->find(place.name)) return {tensor, place.first_row};
  }
  return {};
}

// GGUF keeps q and k permuted and Gemma's norms whole; here they become what Hugging Face has.
Result<Weight> Checkpoint::gguf_weight(const Parameter& parameter, const StoredRows& place) const {
  const TensorInfo& tensor = *place.tensor;
  if (parameter.expert >= 0)
    return Weight(container_.get(), &tensor, place.first_row, parameter.rows);
  const ModelConfig& config = graph_->config;
  const bool permuted = architecture_->permutes_qk;
  if (permuted && (parameter.role == Role::kQuery || parameter.role == Role::kKey)) {
    return Weight(container_.get(), &tensor, config.head_dim);
  }
  const bool bias = parameter.role == Role::kQueryBias || parameter.role == Role::kKeyBias;
  const bool shifted = config.norm_plus_one && is_norm(parameter.role);
  if (!shifted && !(permuted && bias)) return Weight(container_.get(), &tensor);
  auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(parameter.cols));
  QUANTLANE_TRY_VOID(decode_rows(*container_, tensor, 0, 1, values->data()));
  if (shifted) {
    for (float& value : *values) value -= 1;
  } else {
    const std::vector<float> stored_order = *values;
    for (std::int64_t i = 0; i < parameter.cols; ++i) {
      (*values)[static_cast<std::size_t>(i)] =
          stored_order[static_cast<std::size_t>(permuted_qk_row(i, config.head_dim))];
    }
  }
  return Weight(std::move(values), 1, parameter.cols);
}

Result<Weight> Checkpoint::weight(const Parameter& parameter) const {
  QUANTLANE_TRY(Weight weight, stored_weight(parameter));
  const auto edits = edits_.find(parameter.name);
  if (edits == edits_.end()) return weight;
  const bool minus_one = graph_->config.norm_plus_one && is_norm(parameter.role);
  for (const auto& edit : edits->second)
    weight.edit(edit, minus_one ? 1.0F : 0.0F, cache_->row_blocks);
  return weight;
}

Result<std::vector<float>> Checkpoint::norm_gains(const Parameter& norm) const {
  QUANTLANE_TRY(const Weight stored, weight(norm));
  std::vector<float> gains(static_cast<std::size_t>(norm.cols));
  stored.decode_rows(0, 1, gains.data());
  if (graph_->config.norm_plus_one) {
    for (float& gain : gains) gain += 1;
  }
  return gains;
}

Result<Weight> Checkpoint::stored_weight(const Parameter& parameter) const {
  if (quantization_ && is_linear(parameter.role)) {
    if (const auto scheme = quantization_->scheme_of(parameter.module())) {
      QUANTLANE_TRY(StoredLinear linear, dialect_->unpack(*container_, parameter.module(), *scheme,
                                                          parameter.rows, parameter.cols));
      return Weight(std::make_shared<const QuantTensor>(std::move(linear.weight)), linear.input);
    }
  }
  const auto [tensor, first_row] = stored(parameter);
  if (tensor == nullptr) {
    return fail(not_found("reading a parameter").in(path_.string()).of(parameter.name));
  }
  if (container_->kind() == kGguf) {
    QUANTLANE_TRY(Weight weight, gguf_weight(parameter, {tensor, first_row}));
    weight.scale_by(factor_beside(*container_, parameter, *tensor));
    return weight;
  }
  if (parameter.expert >= 0) return Weight(container_.get(), tensor, first_row, parameter.rows);
  return Weight(container_.get(), tensor);
}

bool Checkpoint::engine_differs() const {
  if (!graph_ || container_->kind() != kGguf) return false;
  return std::ranges::any_of(graph_->parameters, [this](const Parameter& parameter) {
    const bool tied_head = parameter.role == Role::kEmbedding && graph_->config.tied_embeddings;
    if (!is_linear(parameter.role) && !tied_head) return false;
    const Weight weight(container_.get(), stored(parameter).tensor);
    return weight.engine_rounding() != weight.input_rounding();
  });
}

std::uint64_t Checkpoint::parameter_count() const {
  std::uint64_t count = 0;
  if (dialect_ != nullptr && graph_) {
    for (const Parameter& p : graph_->parameters) {
      count += static_cast<std::uint64_t>(p.rows * p.cols);
    }
    return count;
  }
  for (const TensorInfo& tensor : container_->tensors()) {
    if (const auto linears = packed_linears(dialect_, tensor)) {
      for (const PackedLinear& linear : *linears)
        count += static_cast<std::uint64_t>(linear.rows) * static_cast<std::uint64_t>(linear.cols);
    } else {
      count += static_cast<std::uint64_t>(tensor.element_count());
    }
  }
  return count;
}

void Checkpoint::drop(const Parameter& parameter) const {
  const auto [tensor, first_row] = stored(parameter);
  if (tensor == nullptr) return;
  const auto whole = static_cast<std::uint64_t>(tensor->rows());
  const auto rows = static_cast<std::uint64_t>(parameter.rows);
  const auto first = static_cast<std::uint64_t>(first_row);
  // Packed codes have other rows and columns than the parameter.
  if (tensor->cols() != parameter.cols || first + rows > whole) return container_->drop(*tensor);
  const std::uint64_t row_bytes = tensor->size_bytes / whole;
  container_->drop(*tensor, first * row_bytes, rows * row_bytes);
}

void Checkpoint::drop_layer(std::int64_t layer) const {
  for (const Parameter& parameter : graph_->parameters) {
    if (parameter.layer == layer) drop(parameter);
  }
}

std::uint64_t Checkpoint::size_bytes() const {
  std::uint64_t bytes = 0;
  for (const std::string& file : container_->files()) bytes += size_on_disk(file);
  return bytes;
}

namespace {

constexpr std::array kTextFiles = {"config.json",           "tokenizer.json",
                                   "tokenizer.model",       "tokenizer_config.json",
                                   "chat_template.jinja",   "special_tokens_map.json",
                                   "generation_config.json"};

Result<void> add_file(const std::filesystem::path& path, ContentHash& hash) {
  constexpr std::uint64_t kPiece = std::uint64_t{16} << 20;
  QUANTLANE_TRY(const MappedFile file, MappedFile::open(path));
  const auto bytes = file.bytes();
  for (std::uint64_t at = 0; at < bytes.size(); at += kPiece) {
    QUANTLANE_TRY_VOID(check_cancel("hashing a checkpoint"));
    const std::uint64_t size = std::min<std::uint64_t>(kPiece, bytes.size() - at);
    hash.add(bytes.subspan(at, size));
    file.drop(at, size);
  }
  return {};
}

}  // namespace

Result<std::string> Checkpoint::content_hash() const {
  const std::scoped_lock lock(cache_->mutex);
  if (!cache_->content_hash.empty()) return cache_->content_hash;
  ContentHash hash;
  if (!config_json_.is_null()) {
    for (const char* name : kTextFiles) {
      const auto path = folder() / name;
      if (!std::filesystem::exists(path)) continue;
      hash.add(name);
      QUANTLANE_TRY_VOID(add_file(path, hash));
    }
  }
  for (const std::string& file : container_->files()) QUANTLANE_TRY_VOID(add_file(file, hash));
  cache_->content_hash = hash_with_edits(hash.hex());
  return cache_->content_hash;
}

}  // namespace quantlane
