// One transformer block: its bound parameters, and a pass of all segments' tokens through it.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/dequant.h"
#include "kernels/gemm.h"
#include "runtime/rope.h"
#include "runtime/runtime.h"

namespace quantlane {

// A matrix and its bias, ready for products.
struct BoundLinear {
  const Parameter* parameter = nullptr;
  Weight weight;
  std::optional<ActivationScheme> input;         // how inputs are rounded before the product
  std::vector<float> bias;                       // [rows] or empty
  kernels::BlockDecode decode_blocks = nullptr;  // of weight.block_format(), when that is set

  // Takes the weight and picks its decoder.
  void bind(Weight bound, Arithmetic arithmetic);
  // Logical rows [begin, begin + count) as float32 [count, cols]; thread-safe.
  void decode_rows(std::int64_t begin, std::int64_t count, float* values) const;
  // Rows for the kernels; points into this object.
  [[nodiscard]] kernels::RowSource rows() const;
};

// down(act(gate(x)) * up(x)): of all tokens, or of one expert.
struct BoundMlp {
  BoundLinear gate, up, down;
};

struct BoundLayer {
  std::int64_t window = 0;
  BoundLinear query, key, value, output;
  BoundMlp mlp;                   // of a layer without experts
  BoundLinear router;             // of one with them
  std::vector<BoundMlp> experts;  // empty: `mlp` is there
  // Norm weights as applied; empty where the family has none.
  std::vector<float> attention_norm, feed_forward_norm, query_norm, key_norm;
  std::vector<float> post_attention_norm, post_feed_forward_norm;
};

// The place of a block matrix in its layer.
BoundLinear& matrix_of(BoundLayer& layer, const Parameter& parameter);

// A pass: where each segment's tokens lie in the concatenation, and buffers that outlive passes.
struct Pass {
  struct Piece {
    KvCache* cache;
    std::int64_t first;  // index of its first token in the concatenation
    std::int64_t tokens;
    std::int64_t start;  // position of its first token in its sequence
  };
  const ModelConfig* config = nullptr;
  ThreadPool* pool = nullptr;
  LinearObserver* observer = nullptr;
  const KvRounding* kv = nullptr;  // nullptr: keys and values stay float32
  bool coarse = false;             // products are kernels::gemm_rounded()
  std::vector<Piece> pieces;
  std::int64_t tokens = 0;
  RopeTable* rope_full = nullptr;
  RopeTable* rope_windowed = nullptr;
  // [tokens, …]: the residual stream, a normed copy, q, k, v, attention output, gate, up, rounded
  // inputs.
  std::vector<float> stream, normed, q, k, v, attended, gate, up, rounded;
  // [tokens, …]: scores of the experts, rows of one expert, the sum over experts.
  std::vector<float> scores, gathered, mixed;

  // Sizes the buffers for `tokens`.
  void reserve(std::int64_t token_count);
};

// The steps of run_layer(), for those who change a layer on the way. Inputs of the query, key and
// value matrices: pass.stream -> pass.normed.
void attention_inputs(const BoundLayer& layer, Pass& pass);
// pass.normed -> pass.attended, the inputs of the output matrix; keys and values are written into
// layer `index` of the caches.
void run_heads(const BoundLayer& layer, std::int64_t index, Pass& pass);
// pass.attended -> added to pass.stream.
void finish_attention(const BoundLayer& layer, Pass& pass);
// Inputs of the gate and up matrices: pass.stream -> pass.normed.
void feed_forward_inputs(const BoundLayer& layer, Pass& pass);
// x [tokens, D] -> pass.gate, the inputs of the down matrix.
void run_gates(const BoundMlp& mlp, const float* x, std::int64_t tokens, Pass& pass);
// Of a layer without experts: pass.gate -> y [tokens, D], what down gives, without its bias.
void run_down(const BoundLayer& layer, float* y, Pass& pass);
// What run_down() gave (changed here) -> added to pass.stream.
void add_down(const BoundLayer& layer, float* y, Pass& pass);
// pass.gate, or with experts pass.normed -> added to pass.stream.
void finish_feed_forward(const BoundLayer& layer, Pass& pass);
// y [tokens, D] = mlp(x [tokens, D]); y may be x.
void run_mlp(const BoundMlp& mlp, const float* x, std::int64_t tokens, float* y, Pass& pass);

// pass.stream through the block; keys and values are written into the caches.
void run_layer(const BoundLayer& layer, std::int64_t index, Pass& pass);

// y [tokens, rows] = x [tokens, cols] times each matrix, plus its bias, inputs rounded as the
// matrices ask (once for neighbours that ask the same).
struct Product {
  const BoundLinear* linear;
  float* y;
};
void multiply(std::span<const Product> products, const float* x, std::int64_t tokens, Pass& pass);

// RMS norm of x [tokens, width] into y, tokens split over the pool.
void norm_rows(const float* x, std::int64_t tokens, std::int64_t width,
               const std::vector<float>& weight, double eps, float* y, ThreadPool& pool);

}  // namespace quantlane
