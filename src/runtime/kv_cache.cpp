#include "runtime/runtime.h"

namespace quantlane {

KvCache::KvCache(const ModelConfig& config, std::int64_t capacity)
    : capacity_(capacity), kv_size_(config.kv_size()) {
  const auto layers = static_cast<std::size_t>(config.layer_count);
  const auto values = static_cast<std::size_t>(capacity * kv_size_);
  keys_.resize(layers);
  values_.resize(layers);
  for (auto& layer : keys_) layer.resize(values);
  for (auto& layer : values_) layer.resize(values);
}

std::uint64_t KvCache::bytes(const ModelConfig& config, std::int64_t capacity) {
  return 2 * sizeof(float) *
         static_cast<std::uint64_t>(config.layer_count * config.kv_size() * capacity);
}

}  // namespace quantlane
