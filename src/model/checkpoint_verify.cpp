#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <unordered_set>

#include <fmt/format.h>

#include "containers/tensor_size.h"
#include "core/check.h"
#include "model/checkpoint_parts.h"

namespace quantlane {
namespace {

constexpr std::string_view kAttempt = "matching the tensors with the configuration";

Error missing(const Container& container, const std::string& name,
              std::span<const std::int64_t> shape) {
  return not_found(std::string(kAttempt))
      .in(container.files().empty() ? "" : container.files()[0])
      .of(name)
      .expects("a tensor of shape " + shape_text(shape))
      .got("no such tensor")
      .advise("check that all shards are there and that config.json belongs to them");
}

Error wrong(const Container& container, const TensorInfo& tensor) {
  return at_tensor(corrupt(std::string(kAttempt)), container, tensor);
}

// Eight-bit floats mean nothing without their scales.
bool decodable(const ElementType& type) {
  if (type.block != nullptr) return type.block->decode != nullptr;
  return is_float(type.plain) && dtype_row(type.plain).size_bytes > 1;
}

Result<void> verify_plain(const Container& container, std::span<const TensorPlace> places,
                          std::unordered_set<std::string>& known) {
  const TensorInfo* tensor = nullptr;
  const TensorPlace* place = nullptr;
  for (std::size_t i = 0; tensor == nullptr && i < places.size(); ++i) {
    place = &places[i];
    tensor = container.find(place->name);
  }
  if (tensor == nullptr) return fail(missing(container, places[0].name, places[0].shape));
  known.insert(place->name);
  if (tensor->shape != place->shape) {
    return fail(wrong(container, *tensor)
                    .expects("shape " + shape_text(place->shape))
                    .got("shape " + shape_text(tensor->shape)));
  }
  if (!decodable(tensor->type)) {
    Error error = wrong(container, *tensor)
                      .expects("values of 16, 32 or 64-bit floats or a block format")
                      .got(std::string(tensor->type.name()));
    error.code = ErrorCode::kUnsupported;
    return fail(std::move(error));
  }
  return {};
}

// 3 of "…experts.3.w1.weight"; -1 without such a part.
std::int64_t expert_of(std::string_view name) {
  constexpr std::string_view kExperts = ".experts.";
  const auto at = name.find(kExperts);
  std::int64_t expert = -1;
  if (at != std::string_view::npos) {
    const std::string_view rest = name.substr(at + kExperts.size());
    std::from_chars(rest.data(), rest.data() + rest.size(), expert);
  }
  return expert;
}

// Does the configuration say that a tensor of this name must not be there? Tensors that no
// decoder has (vision towers, buffers) are left alone.
bool contradicts(std::string_view name, const ModelConfig& config,
                 const std::unordered_set<std::string>& known) {
  const std::string layers = config.tensor_prefix + "layers.";
  if (!name.starts_with(layers)) return false;
  const std::string_view rest = name.substr(layers.size());
  std::int64_t layer = -1;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (parsed.ec != std::errc()) return false;
  if (layer >= config.layer_count) return true;
  if (expert_of(name) >= config.experts.count) return true;
  constexpr std::array<std::string_view, 9> kOptional = {
      ".q_proj.bias",  ".k_proj.bias",    ".v_proj.bias",   ".o_proj.bias",  ".gate_proj.bias",
      ".up_proj.bias", ".down_proj.bias", ".q_norm.weight", ".k_norm.weight"};
  const bool optional = std::ranges::any_of(
      kOptional, [&](std::string_view suffix) { return name.ends_with(suffix); });
  return optional && !known.contains(std::string(name));
}

// A tensor of a GGUF file that nothing in the model reads. Rotary divisors and factors of matrices
// are no parameters.
bool is_foreign(const std::string& name, const std::unordered_set<std::string>& known) {
  if (known.contains(name) || name.starts_with("rope_f") || name.ends_with(".attn_rot_embd.weight"))
    return false;
  return !name.ends_with(".scale");  // verify_factors() judges those
}

// Where transformers 4 and 5 put the decoder of a multimodal class.
void find_tensor_prefix(const Container& container, ModelConfig& config) {
  for (const char* prefix : {"model.", "language_model.model.", "model.language_model."}) {
    if (container.find(std::string(prefix) + "embed_tokens.weight") == nullptr) continue;
    config.tensor_prefix = prefix;
    return;
  }
}

}  // namespace

Result<std::optional<Graph>> folder_graph(const Json& config, const std::string& origin,
                                          const Container& container) {
  const Json& classes = config["architectures"];
  const Architecture* row =
      classes.items().empty() ? nullptr : architecture_by_class(classes.items()[0].string());
  if (row == nullptr) return std::nullopt;
  QUANTLANE_TRY(ModelConfig model, row->from_hugging_face(config, origin));
  find_tensor_prefix(container, model);
  return build_graph(model);
}

Result<void> verify_parameters(const Container& container, const Graph& graph, bool gguf,
                               const Dialect* dialect, const QuantizationMap* quantization) {
  std::unordered_set<std::string> known;
  for (const Parameter& parameter : graph.parameters) {
    const auto places =
        gguf ? gguf_places(parameter, graph.config) : hugging_face_places(parameter, graph.config);
    known.insert(places[0].name);
    std::optional<LinearScheme> scheme;
    if (quantization != nullptr && is_linear(parameter.role)) {
      scheme = quantization->scheme_of(parameter.module());
    }
    QUANTLANE_TRY_VOID(scheme ? dialect->verify(container, parameter.module(), *scheme,
                                                parameter.rows, parameter.cols)
                              : verify_plain(container, places, known));
  }
  for (const TensorInfo& tensor : container.tensors()) {
    if (gguf) {
      if (!is_foreign(tensor.name, known)) continue;
      return fail(wrong(container, tensor)
                      .expects(fmt::format("no such tensor in a {} of {} layers",
                                           graph.config.architecture, graph.config.layer_count))
                      .got("shape " + shape_text(tensor.shape))
                      .advise("the model is not what its keys say, or another kind than this "
                              "version runs; llama.cpp refuses unknown tensors, too"));
    }
    if (!contradicts(tensor.name, graph.config, known)) continue;
    return fail(
        wrong(container, tensor)
            .expects(fmt::format("no such tensor in a {} of {} layers with this config.json",
                                 graph.config.architecture, graph.config.layer_count))
            .got("shape " + shape_text(tensor.shape))
            .advise("check that config.json belongs to these weights"));
  }
  return {};
}

Result<void> complete_gguf_config(const Container& container, ModelConfig& config) {
  const auto has = [&](Role role, std::int64_t layer) {
    return container.find(gguf_name(role, layer)) != nullptr;
  };
  config.tied_embeddings = !has(Role::kHead, -1);
  config.attention_bias = has(Role::kQueryBias, 0);
  config.attention_output_bias = has(Role::kAttentionOutputBias, 0);
  for (std::int64_t i = 0; config.experts.count > 0 && i < config.layer_count; ++i) {
    if (!has(Role::kRouter, i)) config.experts.dense_layers.push_back(i);
  }
  const TensorInfo* divisors = container.find("rope_freqs.weight");
  if (divisors == nullptr) return {};
  if (divisors->element_count() != config.head_dim / 2 || !decodable(divisors->type)) {
    return fail(wrong(container, *divisors)
                    .expects(fmt::format("{} float values", config.head_dim / 2))
                    .got(fmt::format("{} {}", divisors->type.name(), shape_text(divisors->shape))));
  }
  config.rope_divisors.resize(static_cast<std::size_t>(config.head_dim / 2));
  QUANTLANE_TRY_VOID(
      decode_rows(container, *divisors, 0, divisors->rows(), config.rope_divisors.data()));
  for (const float divisor : config.rope_divisors) {
    if (!(divisor > 0 && std::isfinite(divisor))) {
      return fail(
          wrong(container, *divisors).expects("positive divisors").got(fmt::format("{}", divisor)));
    }
  }
  if (config.rope_scaling.kind == RopeScaling::Kind::kNone) {
    config.rope_scaling = llama3_scaling_of_divisors(config).value_or(RopeScaling{});
  }
  return {};
}

}  // namespace quantlane
