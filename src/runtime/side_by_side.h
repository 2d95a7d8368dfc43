// Whole sequences side by side in one pass, each from its first position.
#pragma once
#include <cstdint>
#include <vector>

#include "runtime/layer.h"
#include "runtime/runtime.h"

namespace quantlane {

// Keys and values of one layer for `count` sequences of `chunk` tokens.
std::vector<KvCache> one_layer_caches(const ModelConfig& config, std::int64_t count,
                                      std::int64_t chunk);

// pass.tokens tokens as sequences of `chunk`, the i-th with caches[i]: sets the pieces and selects
// the positions of the pass's rope tables.
void lay_side_by_side(Pass& pass, std::vector<KvCache>& caches, std::int64_t chunk);

}  // namespace quantlane
