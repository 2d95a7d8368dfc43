// Limits of hyper-parameters and what must hold between them, for arch/*.cpp only.
#pragma once
#include <cstdint>
#include <string>

#include "model/config.h"
#include "model/config_reader.h"

namespace quantlane {

// Upper bounds well above any published decoder; they keep products of two sizes inside int64 and
// stop a configuration that lies before anything is allocated from it.
inline constexpr IntegerRange kVocabulary = {1, std::int64_t{1} << 24};
inline constexpr IntegerRange kHidden = {1, std::int64_t{1} << 18};
inline constexpr IntegerRange kIntermediate = {1, std::int64_t{1} << 21};
inline constexpr IntegerRange kLayers = {1, 1024};
inline constexpr IntegerRange kHeads = {1, 4096};
inline constexpr IntegerRange kExperts = {1, 4096};                 // of one layer
inline constexpr std::int64_t kAllExperts = std::int64_t{1} << 16;  // of all layers

inline constexpr IntegerRange kHeadDim = {2, 4096};
inline constexpr IntegerRange kContext = {1, std::int64_t{1} << 31};

// The key-value heads divide the heads, the head size is even and the experts are not more than
// kAllExperts; kCorrupt otherwise.
Result<void> check_sizes(const ModelConfig& config, const std::string& origin);
// hidden_size / head_count; kCorrupt when that is no integer.
Result<std::int64_t> head_dim_of(const ModelConfig& config, const std::string& origin);

}  // namespace quantlane
