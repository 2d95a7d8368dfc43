// Models and lanes of published measurements, shared by the tests of this folder.
#pragma once
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "recommend/hardware.h"
#include "recommend/lane_facts.h"

namespace quantlane::test_facts {

// Llama-3.1-8B and Llama-3.1-70B, Qwen3-32B, SmolLM2-1.7B from their config.json.
inline constexpr ModelFacts kLlama8B = {8.030e9, 6.979e9, 0.5253e9, 32, 131072};
inline constexpr ModelFacts kLlama70B = {70.554e9, 68.452e9, 1.0507e9, 80, 327680};
inline constexpr ModelFacts kQwen32B = {32.762e9, 31.206e9, 0.7779e9, 64, 262144};
inline constexpr ModelFacts kSmol = {1.711e9, 1.611e9, 0.1007e9, 24, 196608};

inline Device device(std::string_view name) {
  auto found = find_device(name);
  if (!found) throw std::runtime_error(found.error().message());
  return *std::move(found);
}

inline LaneFacts reference(const ModelFacts& model) {
  return estimate_lane("reference", ComputePath::kBf16, model, 16);
}
inline LaneFacts fp8(const ModelFacts& model) {
  return estimate_lane("fp8", ComputePath::kFp8, model, 8);
}
inline LaneFacts w8a8(const ModelFacts& model) {
  return estimate_lane("w8a8", ComputePath::kInt8, model, 8);
}
inline LaneFacts w4a16(const ModelFacts& model) {
  LaneFacts lane = estimate_lane("w4a16", ComputePath::kWeightOnly, model, 4.125);
  lane.calibrated = true;
  return lane;
}
inline LaneFacts nvfp4(const ModelFacts& model) {
  return estimate_lane("nvfp4", ComputePath::kFp4, model, 4.5);
}
inline LaneFacts gguf(std::string_view name, const ModelFacts& model, double bits) {
  LaneFacts lane = estimate_lane(std::string(name), ComputePath::kGguf, model, bits, 6.5625);
  lane.calibrated = true;
  return lane;
}
inline LaneFacts q4_k_m(const ModelFacts& model) { return gguf("gguf:q4_k_m", model, 4.85); }
inline LaneFacts q8_0(const ModelFacts& model) {
  return estimate_lane("gguf:q8_0", ComputePath::kGguf, model, 8.5, 8.5);
}

inline std::vector<LaneFacts> six_lanes(const ModelFacts& model) {
  return {fp8(model),   w8a8(model), w4a16(model), q8_0(model), gguf("gguf:q6_k", model, 6.5625),
          q4_k_m(model)};
}

inline Workload requests(std::int64_t prompt, std::int64_t output, std::int64_t concurrency) {
  return {.prompt_tokens = prompt, .output_tokens = output, .concurrency = concurrency};
}

}  // namespace quantlane::test_facts
