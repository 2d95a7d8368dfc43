// Attention in tiles (FlashAttention 2, Dao 2023): a task is one key-value head and one panel of
// query rows; blocks of keys run past it with an online softmax.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "core/ceil_div.h"
#include "core/check.h"
#include "kernels/attention/attention_kernels.h"
#include "kernels/attention/attention_table.h"
#include "kernels/gemm/gemm_kernels.h"
#include "kernels/scratch.h"

namespace quantlane::kernels {
namespace {

// Lower than every score, and its exponential against any score is 0 without being NaN.
constexpr float kNoScore = -1e30F;

struct AttentionScratch {
  Scratch<float> memory;
};

// Kept per calling thread.
std::vector<AttentionScratch>& attention_scratch(int workers) {
  thread_local std::vector<AttentionScratch> scratch;
  if (scratch.size() < static_cast<std::size_t>(workers)) {
    scratch.resize(static_cast<std::size_t>(workers));
  }
  return scratch;
}

// Rows of one head lie far apart, out of sight of the hardware prefetchers.
void prefetch(const float* row, std::int64_t count) {
  constexpr std::int64_t kLine = 16;
  for (std::int64_t i = 0; i < count; i += kLine) __builtin_prefetch(row + i);
}

struct Tensors {
  const float* q;
  const float* keys;
  const float* values;
  float* out;
};

// One task: query rows [begin, begin + count) of the rows (token, head of the group) of one
// key-value head.
class Panel {
 public:
  Panel(const AttentionShape& shape, const Tensors& tensors, const GemmKernels& product,
        const AttentionKernels& kernels)
      : shape_(shape),
        tensors_(tensors),
        product_(product),
        kernels_(kernels),
        group_(shape.heads / shape.kv_heads),
        pieces_(ceil_div(shape.head_dim, kGemmKBlock)) {}

  void run(std::int64_t kv_head, std::int64_t begin, std::int64_t count, Scratch<float>& scratch) {
    kv_head_ = kv_head;
    begin_ = begin;
    count_ = count;
    width_ = ceil_div(count, product_.vector_tokens) * product_.vector_tokens;
    carve(scratch);
    pack_queries();
    std::fill_n(largest_, width_, kNoScore);
    std::fill_n(total_, width_, 0.0F);
    std::fill_n(sums_, shape_.head_dim * width_, 0.0F);
    // Blocks start at multiples of the block length, wherever the pass begins, so that a query has
    // the same bits however a sequence is cut into passes.
    const std::int64_t first = first_key(begin_) / kernels_.key_block * kernels_.key_block;
    const std::int64_t end = position(begin_ + count_ - 1) + 1;
    for (std::int64_t key = first; key < end; key += kernels_.key_block) {
      block(key, std::min(kernels_.key_block, end - key));
    }
    store();
  }

 private:
  [[nodiscard]] std::int64_t position(std::int64_t row) const {
    return shape_.start + row / group_;
  }
  [[nodiscard]] std::int64_t first_key(std::int64_t row) const {
    return shape_.window > 0 ? std::max<std::int64_t>(0, position(row) - shape_.window + 1) : 0;
  }
  // Offset of a query row in q and out.
  [[nodiscard]] std::int64_t row_offset(std::int64_t row) const {
    return (row / group_ * shape_.heads + kv_head_ * group_ + row % group_) * shape_.head_dim;
  }

  void carve(Scratch<float>& scratch) {
    const std::int64_t dim = shape_.head_dim;
    const std::int64_t panel = product_.panel_tokens;
    const std::int64_t sizes[] = {panel * dim,
                                  panel * dim,
                                  panel * dim,
                                  pieces_ * kernels_.key_block * kGemmKStride,
                                  kernels_.key_block * panel,
                                  5 * panel};
    std::int64_t total = 0;
    for (std::int64_t size : sizes) total += size;
    float* next = scratch.reserve(total);
    float** const places[] = {&panel_, &rows_, &sums_, &keys_, &scores_, &largest_};
    // All sizes are multiples of a cache line, since panels are.
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
      *places[i] = next;
      next += sizes[i];
    }
    total_ = largest_ + panel;
    correction_ = total_ + panel;
    first_ = correction_ + panel;
    last_ = first_ + panel;
  }

  void pack_queries() {
    for (std::int64_t i = 0; i < count_; ++i) {
      const float* from = tensors_.q + row_offset(begin_ + i);
      float* to = rows_ + i * shape_.head_dim;
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) to[d] = from[d] * shape_.scale;
    }
    product_.pack(rows_, count_, shape_.head_dim, width_, panel_);
  }

  void block(std::int64_t key, std::int64_t count) {
    const std::int64_t stride = shape_.kv_heads * shape_.head_dim;
    const std::int64_t offset = key * stride + kv_head_ * shape_.head_dim;
    for (std::int64_t piece = 0; piece < pieces_; ++piece) {
      const std::int64_t dim = piece * kGemmKBlock;
      const std::int64_t dims = std::min(kGemmKBlock, shape_.head_dim - dim);
      for (std::int64_t j = 0; j < count; ++j) {
        const std::int64_t place = offset + j * stride + dim;
        prefetch(tensors_.values + place, dims);
        if (key + j + kernels_.key_block < shape_.start + shape_.tokens) {
          prefetch(tensors_.keys + place + kernels_.key_block * stride, dims);
        }
        std::copy_n(tensors_.keys + place, dims, keys_ + j * kGemmKStride);
      }
      product_.tile({.w = keys_,
                     .panel = panel_ + dim * width_,
                     .sums = scores_,
                     .rows = count,
                     .width = width_,
                     .k_count = dims,
                     .sums_stride = width_,
                     .first = piece == 0});
    }
    const bool masked = visible_range(key, count);
    kernels_.softmax({.scores = scores_,
                      .keys = count,
                      .width = width_,
                      .softcap = shape_.softcap,
                      .first = masked ? first_ : nullptr,
                      .last = masked ? last_ : nullptr,
                      .largest = largest_,
                      .total = total_,
                      .correction = correction_});
    kernels_.accumulate({.values = tensors_.values + offset,
                         .value_stride = stride,
                         .weights = scores_,
                         .keys = count,
                         .dims = shape_.head_dim,
                         .width = width_,
                         .correction = correction_,
                         .out = sums_});
  }

  // Fills first_ and last_ for keys [key, key + count); false if all rows see all of them.
  bool visible_range(std::int64_t key, std::int64_t count) {
    if (key >= first_key(begin_ + count_ - 1) && key + count - 1 <= position(begin_)) return false;
    for (std::int64_t i = 0; i < width_; ++i) {
      const std::int64_t row = begin_ + std::min(i, count_ - 1);
      first_[i] = static_cast<float>(std::clamp<std::int64_t>(first_key(row) - key, 0, count));
      last_[i] = static_cast<float>(std::clamp<std::int64_t>(position(row) - key, -1, count));
    }
    return true;
  }

  void store() {
    kernels_.normalize(total_, shape_.head_dim, width_, sums_);
    product_.store(sums_, width_, shape_.head_dim, count_, rows_, shape_.head_dim);
    for (std::int64_t i = 0; i < count_; ++i) {
      std::copy_n(rows_ + i * shape_.head_dim, shape_.head_dim,
                  tensors_.out + row_offset(begin_ + i));
    }
  }

  const AttentionShape& shape_;
  const Tensors& tensors_;
  const GemmKernels& product_;
  const AttentionKernels& kernels_;
  std::int64_t group_;
  std::int64_t pieces_;
  std::int64_t kv_head_ = 0;
  std::int64_t begin_ = 0;
  std::int64_t count_ = 0;
  std::int64_t width_ = 0;
  float* panel_ = nullptr;    // queries [head_dim][width]
  float* rows_ = nullptr;     // [count][head_dim]
  float* sums_ = nullptr;     // [head_dim][width]
  float* keys_ = nullptr;     // [key_block][kGemmKStride]
  float* scores_ = nullptr;   // [key_block][width]
  float* largest_ = nullptr;  // [width], as the following
  float* total_ = nullptr;
  float* correction_ = nullptr;
  float* first_ = nullptr;
  float* last_ = nullptr;
};

void tiled(const AttentionShape& shape, const Tensors& tensors, const GemmKernels& product,
           const AttentionKernels& kernels, ThreadPool& pool) {
  const std::int64_t rows = shape.tokens * (shape.heads / shape.kv_heads);
  const std::int64_t panels = ceil_div(rows, product.panel_tokens);
  auto& scratch = attention_scratch(pool.size());
  pool.parallel_for(panels * shape.kv_heads, [&](std::int64_t index, int worker) {
    // The last rows see the most keys: they start first.
    const std::int64_t panel = panels - 1 - index / shape.kv_heads;
    const std::int64_t begin = panel * product.panel_tokens;
    Panel(shape, tensors, product, kernels)
        .run(index % shape.kv_heads, begin, std::min(product.panel_tokens, rows - begin),
             scratch[static_cast<std::size_t>(worker)].memory);
  });
}

void attention_avx512(const AttentionShape& shape, const float* q, const float* keys,
                      const float* values, float* out, ThreadPool& pool) {
  tiled(shape, {q, keys, values, out}, kGemmAvx512, kAttentionAvx512, pool);
}

void attention_avx2(const AttentionShape& shape, const float* q, const float* keys,
                    const float* values, float* out, ThreadPool& pool) {
  tiled(shape, {q, keys, values, out}, kGemmAvx2, kAttentionAvx2, pool);
}

constexpr std::array kAttentionRows = {AttentionRow{Isa::kAvx512, attention_avx512},
                                       AttentionRow{Isa::kAvx2, attention_avx2},
                                       AttentionRow{Isa::kRef, attention_ref}};

}  // namespace

std::span<const AttentionRow> attention_rows() { return kAttentionRows; }

void attention(const AttentionShape& shape, const float* q, const float* keys, const float* values,
               float* out, ThreadPool& pool) {
  QUANTLANE_CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && shape.head_dim > 0);
  QUANTLANE_CHECK(shape.tokens >= 0 && shape.start >= 0 && shape.window >= 0);
  if (shape.tokens == 0) return;
  static const AttentionRow& chosen = *std::ranges::find_if(
      kAttentionRows, [](const AttentionRow& row) { return row.isa <= active_isa(); });
  chosen.run(shape, q, keys, values, out, pool);
}

}  // namespace quantlane::kernels
