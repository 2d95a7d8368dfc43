#include <charconv>
#include <iterator>

#include <fmt/format.h>

#include "core/check.h"
#include "model/arch/bounds.h"
#include "model/arch/common.h"

namespace quantlane {
namespace {

// The number of rows of the vocabulary: the key where a converter wrote it, else the token list.
Result<std::int64_t> gguf_vocabulary(const Metadata& metadata, const ConfigReader& reader) {
  std::optional<std::int64_t> fallback;
  if (const auto* tokens = metadata.strings("tokenizer.ggml.tokens")) {
    fallback = static_cast<std::int64_t>(tokens->size());
  }
  return reader.integer("vocab_size", kVocabulary, fallback);
}

Result<RopeScaling> gguf_scaling(const ConfigReader& reader) {
  RopeScaling scaling;
  QUANTLANE_TRY(const std::string type, reader.string("rope.scaling.type", "none"));
  if (type == "none") return scaling;
  if (type != "linear") {
    return fail(reader.error(ErrorCode::kUnsupported, "rope.scaling.type", "none or linear"));
  }
  QUANTLANE_TRY(scaling.factor, reader.number("rope.scaling.factor", 0, 1e6, 1.0));
  // Writers use 0 for "as trained".
  if (scaling.factor == 0 || scaling.factor == 1) scaling.factor = 1;
  if (scaling.factor != 1) scaling.kind = RopeScaling::Kind::kLinear;
  return scaling;
}

Result<void> read_experts(const ConfigReader& reader, ModelConfig& config) {
  ExpertConfig& experts = config.experts;
  QUANTLANE_TRY(experts.count, reader.integer("expert_count", kExperts));
  QUANTLANE_TRY(experts.per_token, reader.integer("expert_used_count", {1, experts.count}));
  QUANTLANE_TRY(experts.intermediate_size, reader.integer("expert_feed_forward_length",
                                                          kIntermediate, config.intermediate_size));
  // No key of llama.cpp for these families: it always normalises there.
  QUANTLANE_TRY(experts.normalised, reader.boolean("expert_weights_norm", true));
  return {};
}

// The number that was meant by a value stored as float: 1e-05, not 9.99999975e-06.
double shortest_decimal(float stored) {
  char text[32];
  const auto written = std::to_chars(std::begin(text), std::end(text), stored);
  double meant = 0;
  std::from_chars(text, written.ptr, meant);
  return meant;
}

}  // namespace

Result<ModelConfig> read_gguf(const Metadata& metadata, std::string_view gguf_name,
                              std::string_view architecture, const std::string& origin,
                              const GgufDefaults& defaults) {
  const std::string prefix = std::string(gguf_name) + ".";
  const Json object = metadata_object(metadata, prefix);
  const ConfigReader reader(object, origin, prefix);
  ModelConfig config;
  config.architecture = architecture;
  QUANTLANE_TRY(config.vocab_size, gguf_vocabulary(metadata, reader));
  QUANTLANE_TRY(config.hidden_size, reader.integer("embedding_length", kHidden));
  QUANTLANE_TRY(config.intermediate_size, reader.integer("feed_forward_length", kIntermediate));
  QUANTLANE_TRY(config.layer_count, reader.integer("block_count", kLayers));
  QUANTLANE_TRY(config.head_count, reader.integer("attention.head_count", kHeads));
  QUANTLANE_TRY(config.kv_head_count, reader.integer("attention.head_count_kv",
                                                     {1, config.head_count}, config.head_count));
  QUANTLANE_TRY(config.head_dim,
                reader.integer("attention.key_length", kHeadDim, defaults.head_dim));
  if (config.head_dim == 0) {
    QUANTLANE_TRY(config.head_dim, head_dim_of(config, origin));
  }
  QUANTLANE_TRY_VOID(reader.integer("attention.value_length", {config.head_dim, config.head_dim},
                                    config.head_dim));
  QUANTLANE_TRY_VOID(
      reader.integer("rope.dimension_count", {config.head_dim, config.head_dim}, config.head_dim));
  QUANTLANE_TRY(config.context_length, reader.integer("context_length", kContext));
  QUANTLANE_TRY(const double epsilon, reader.number("attention.layer_norm_rms_epsilon", 0, 1));
  config.rms_norm_eps = shortest_decimal(static_cast<float>(epsilon));
  QUANTLANE_TRY(config.rope_theta, reader.number("rope.freq_base", 1, kLargestTheta, 10000.0));
  QUANTLANE_TRY(config.rope_scaling, gguf_scaling(reader));
  if (defaults.experts) {
    QUANTLANE_TRY_VOID(read_experts(reader, config));
  } else if (reader.find("expert_count") != nullptr) {
    QUANTLANE_TRY_VOID(reader.integer("expert_count", {0, 0}));
  }
  QUANTLANE_TRY_VOID(check_sizes(config, origin));
  return config;
}

void write_gguf(const ModelConfig& config, std::string_view gguf_name, Metadata& metadata) {
  const std::string prefix = std::string(gguf_name) + ".";
  const auto integer = [&](const char* key, std::int64_t value) {
    metadata.set(prefix + key, static_cast<std::uint32_t>(value));
  };
  metadata.set("general.architecture", std::string(gguf_name));
  integer("vocab_size", config.vocab_size);
  integer("context_length", config.context_length);
  integer("embedding_length", config.hidden_size);
  integer("block_count", config.layer_count);
  integer("feed_forward_length", config.intermediate_size);
  integer("attention.head_count", config.head_count);
  integer("attention.head_count_kv", config.kv_head_count);
  integer("attention.key_length", config.head_dim);
  integer("attention.value_length", config.head_dim);
  integer("rope.dimension_count", config.head_dim);
  metadata.set(prefix + "attention.layer_norm_rms_epsilon",
               static_cast<float>(config.rms_norm_eps));
  metadata.set(prefix + "rope.freq_base", static_cast<float>(config.rope_theta));
  if (const ExpertConfig& experts = config.experts; experts.count > 0) {
    integer("expert_count", experts.count);
    integer("expert_used_count", experts.per_token);
    integer("expert_feed_forward_length", experts.intermediate_size);
    if (!experts.normalised) metadata.set(prefix + "expert_weights_norm", false);
  }
  if (config.rope_scaling.kind == RopeScaling::Kind::kLinear) {
    metadata.set(prefix + "rope.scaling.type", std::string("linear"));
    metadata.set(prefix + "rope.scaling.factor", static_cast<float>(config.rope_scaling.factor));
  }
}

}  // namespace quantlane
