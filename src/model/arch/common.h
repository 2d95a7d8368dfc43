// What the model families share: the keys that all of them spell alike, and their bounds.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/config_reader.h"

namespace quantlane {

// What transformers assumes where config.json is silent; nullopt = the key is required.
struct FamilyDefaults {
  std::optional<std::int64_t> vocab_size;
  std::optional<std::int64_t> head_count;
  std::optional<std::int64_t> kv_head_count;  // nullopt = head_count
  std::optional<std::int64_t> head_dim;       // nullopt = hidden_size / head_count
  std::int64_t context_length = 2048;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  bool tied_embeddings = false;
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";  // the one spelling that the family may have
};

// Sizes, epsilon, RoPE and tying from config.json, checked against each other. RoPE in the spelling
// of transformers 4 (rope_theta, rope_scaling) or 5 (rope_parameters).
Result<ModelConfig> read_hugging_face(const ConfigReader& reader, std::string_view architecture,
                                      const FamilyDefaults& defaults);

struct Rope {
  double theta = 10000;
  RopeScaling scaling;
};
// RoPE of one kind of layer from a rope_parameters object (transformers 5).
Result<Rope> read_rope_parameters(const ConfigReader& rope, double default_theta);

// Windows of the layers from "layer_types"; nullopt when config.json has none.
Result<std::optional<std::vector<std::int64_t>>> read_layer_types(const ConfigReader& reader,
                                                                  std::int64_t layer_count,
                                                                  std::int64_t window);
// sliding_window of Qwen 2 and 3: in force only with use_sliding_window, from layer
// max_window_layers on.
Result<void> read_qwen_windows(const ConfigReader& reader, ModelConfig& config);

// config.json as read_hugging_face reads it, RoPE as transformers 5 spells it.
Json write_hugging_face(const ModelConfig& config, std::string_view class_name,
                        std::string_view model_type, const FamilyDefaults& defaults);
// The keys that read_layer_types and read_qwen_windows read.
void write_layer_types(const ModelConfig& config, Json& json);
void write_qwen_windows(const ModelConfig& config, Json& json);

// A flag that this version cannot honour: kUnsupported when it is true.
Result<void> refuse_flag(const ConfigReader& reader, std::string_view key);

struct GgufDefaults {
  std::int64_t head_dim = 0;  // without attention.key_length; 0 = embedding_length / head_count
  bool experts = false;       // the family has them: keys "<gguf_name>.expert_*" are read
};
// Keys "<gguf_name>.*" that all families share, and the vocabulary size.
Result<ModelConfig> read_gguf(const Metadata& metadata, std::string_view gguf_name,
                              std::string_view architecture, const std::string& origin,
                              const GgufDefaults& defaults = {});
// The same keys written, general.architecture included.
void write_gguf(const ModelConfig& config, std::string_view gguf_name, Metadata& metadata);

// Bounds of a window in tokens.
inline constexpr IntegerRange kWindowRange = {1, std::int64_t{1} << 31};
inline constexpr double kLargestTheta = 1e12;

}  // namespace quantlane
