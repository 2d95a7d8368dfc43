#include "model/arch/bounds.h"

#include <utility>

#include <fmt/format.h>

namespace quantlane {
namespace {

Error contradiction(const ModelConfig& config, const std::string& origin, std::string expected,
                    std::string found) {
  return corrupt(fmt::format("checking the {} configuration", config.architecture))
      .in(origin)
      .expects(std::move(expected))
      .got(std::move(found));
}

}  // namespace

Result<void> check_sizes(const ModelConfig& config, const std::string& origin) {
  if (config.head_count % config.kv_head_count != 0) {
    return fail(contradiction(
        config, origin, "a number of attention heads that the key-value heads divide",
        fmt::format("{} heads, {} key-value heads", config.head_count, config.kv_head_count)));
  }
  if (config.head_dim % 2 != 0 || config.head_dim < kHeadDim.min ||
      config.head_dim > kHeadDim.max) {
    return fail(contradiction(config, origin,
                              fmt::format("an even head size up to {}", kHeadDim.max),
                              fmt::format("head size {}", config.head_dim)));
  }
  if (config.experts.count * config.layer_count > kAllExperts) {
    return fail(contradiction(
        config, origin, fmt::format("at most {} experts in all layers", kAllExperts),
        fmt::format("{} in each of {} layers", config.experts.count, config.layer_count)));
  }
  return {};
}

Result<std::int64_t> head_dim_of(const ModelConfig& config, const std::string& origin) {
  if (config.hidden_size % config.head_count != 0) {
    return fail(contradiction(
        config, origin, "a hidden size that the attention heads divide, or an explicit head size",
        fmt::format("hidden size {}, {} heads", config.hidden_size, config.head_count)));
  }
  return config.hidden_size / config.head_count;
}

}  // namespace quantlane
