// How engines round keys and values when they write them into the cache: one row per scheme. The
// scales are those of compressed-tensors and vLLM.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "quantlane/result.h"

namespace quantlane {

struct KvScheme {
  std::string_view name;  // "fp8", as on the command line
  std::string_view what;  // "FP8 E4M3, one scale per layer"
  int bits;               // of a value, scales aside
  bool calibrated;        // scales come from calibration, else from the values themselves
  bool per_head;          // a scale for each head; with calibrated schemes only
  // The values of one head of one token, in place. `scale`: the calibrated one, else ignored.
  void (*round)(float* values, std::int64_t count, float scale);
};

// fp8: E4M3 under one scale for the keys of a layer and one for its values; fp8_head: under one per
// head; int8, int4: symmetric integers under a scale per token and head (absmax/127, absmax/7).
std::span<const KvScheme> kv_schemes();
// kUsage lists the names.
Result<const KvScheme*> find_kv_scheme(std::string_view name);

// A scheme with the scales of one model. Without a scheme keys and values stay as they are.
struct KvRounding {
  const KvScheme* scheme = nullptr;
  std::int64_t heads = 0;                // of keys and values
  std::vector<float> key_scales = {};    // calibrated: [layers], or [layers, heads] when per_head
  std::vector<float> value_scales = {};  // the same
  [[nodiscard]] bool any() const { return scheme != nullptr; }
  // Rows [tokens, heads * head_dim] of keys (or values) of `layer`, in place.
  void round(std::int64_t layer, bool values, float* rows, std::int64_t tokens,
             std::int64_t head_dim) const;
};

// The scale under which values up to `largest` fit E4M3: largest / 448, 1 where nothing was seen.
float kv_scale_for(float largest);

}  // namespace quantlane
