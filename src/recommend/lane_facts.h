// What the recommendation has to know about models, lanes and workloads; filled by the caller, so
// that nothing here depends on checkpoints or formats.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace quantlane {

// Which arithmetic the matrix products of a lane need.
enum class ComputePath : std::uint8_t {
  kBf16,        // 16-bit weights and activations
  kFp8,         // FP8 weights and activations
  kInt8,        // INT8 weights and activations
  kFp4,         // FP4 weights and activations
  kWeightOnly,  // INT4 or INT8 weights, dequantized to 16 bit in the kernel
  kGguf,        // block formats of llama.cpp, 8-bit or 16-bit activations
};
std::string_view path_name(
    ComputePath path);  // "bf16", "fp8", "int8", "fp4", "weight_only", "gguf"

// A decoder. 8 billion parameters of the Llama 3.1 shape: 8.03e9, 6.98e9, 0.525e9, 32,
// 131072.
struct ModelFacts {
  double parameters = 0;        // all, embeddings included
  double block_parameters = 0;  // in the transformer blocks
  double head_parameters = 0;   // read for the logits of one token (vocabulary x width)
  std::int64_t layers = 0;
  double kv_bytes_per_token = 0;  // all layers, keys and values, 16 bit
  // Of block_parameters: those of experts, and the share of them that one token passes.
  double expert_parameters = 0;
  double expert_share = 1;
  // Of block_parameters: what one token is multiplied with.
  [[nodiscard]] double active_block_parameters() const {
    return block_parameters - expert_parameters * (1 - expert_share);
  }
};

struct LaneFacts {
  std::string name;  // as in LaneReport; "reference" for the reference
  ComputePath path = ComputePath::kBf16;
  double weight_bits = 16;            // bits per weight of the quantized matrices, scales included
  double weight_bytes = 0;            // resident: the whole checkpoint
  double read_bytes = 0;              // weights read for one decode step: blocks + head
  bool calibrated = false;            // importance or other activation statistics were used
  double expert_bytes = 0;            // of read_bytes: experts, of which a step reads some
  bool long_context_checked = false;  // a needle or retrieval test at the workload's length passed
  bool loads = true;   // in an engine of the lane, or the one asked for (preflight.h)
  bool served = true;  // by a serving engine at all; false: by libraries alone
};

enum class Shape : std::uint8_t { kUnknown, kChat, kRag, kCode, kMath, kJson };

// One kind of request. Speed and memory depend on the three numbers, rules on the rest.
struct Workload {
  std::int64_t prompt_tokens = 3072;
  std::int64_t output_tokens = 1024;
  std::int64_t concurrency = 1;  // requests in flight
  Shape shape = Shape::kUnknown;
  bool english = true;
  [[nodiscard]] std::int64_t context() const { return prompt_tokens + output_tokens; }
};
// `context` tokens per request, three quarters of them prompt.
Workload workload_of(std::int64_t context, std::int64_t concurrency);

// Facts of a lane of `bits` bits per weight (scales included) in the blocks whose embedding and
// head keep `head_bits`; an untied embedding is resident but not read.
LaneFacts estimate_lane(std::string name, ComputePath path, const ModelFacts& model, double bits,
                        double head_bits = 16);

}  // namespace quantlane
