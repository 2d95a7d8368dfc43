#include "runtime/side_by_side.h"

namespace quantlane {

std::vector<KvCache> one_layer_caches(const ModelConfig& config, std::int64_t count,
                                      std::int64_t chunk) {
  ModelConfig one_layer = config;
  one_layer.layer_count = 1;
  std::vector<KvCache> caches;
  for (std::int64_t i = 0; i < count; ++i) caches.emplace_back(one_layer, chunk);
  return caches;
}

void lay_side_by_side(Pass& pass, std::vector<KvCache>& caches, std::int64_t chunk) {
  pass.pieces.clear();
  std::vector<std::int64_t> positions;
  for (std::int64_t at = 0; at < pass.tokens; at += chunk) {
    pass.pieces.push_back({.cache = &caches[static_cast<std::size_t>(at / chunk)],
                           .first = at,
                           .tokens = chunk,
                           .start = 0});
    for (std::int64_t t = 0; t < chunk; ++t) positions.push_back(t);
  }
  pass.rope_full->select(positions);
  pass.rope_windowed->select(positions);
}

}  // namespace quantlane
