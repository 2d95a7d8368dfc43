// The scales of the key-value cache that a folder stores: part of what a pre-flight reads
// (preflight_facts.h).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "containers/container.h"

namespace quantlane {

struct KvScaleFacts {
  std::string tensor = {};             // its name; empty = not stored
  std::int64_t count = 0;              // values: one, or one per head
  std::optional<float> unusable = {};  // the first that is not finite and positive; if looked at
  [[nodiscard]] bool stored() const { return !tensor.empty(); }
};

struct AttentionFacts {
  std::string name;  // "model.layers.0.self_attn"
  KvScaleFacts key = {};
  KvScaleFacts value = {};
};

// The attentions of each stack of layers that has such scales, those without any among them; empty
// where none are stored. `read_values`: look into them.
std::vector<AttentionFacts> read_kv_scales(const Container& container, bool read_values);

}  // namespace quantlane
