// Splits a product into blocks of w rows for the threads and feeds the pieces of gemm_kernels.h.
#include "kernels/gemm.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/ceil_div.h"
#include "core/check.h"
#include "kernels/gemm/gemm_table.h"
#include "kernels/scratch.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kGemmRows = {GemmRow{Isa::kAvx512, &kGemmAvx512},
                                  GemmRow{Isa::kAvx2, &kGemmAvx2}, GemmRow{Isa::kRef, &kGemmRef}};
constexpr std::array kRoundedGemmRows = {GemmRow{Isa::kAvx512Bf16, &kGemmAvx512Bf16}};

// From this many tokens on loading w pays; below it is read as it lies.
constexpr std::int64_t kTiledTokens = 8;
// Tokens whose sums a thread keeps: 224 rows * 272 * 4 bytes, beside a piece of w of the same size
// in a level-2 cache of 1 MiB.
constexpr std::int64_t kTokenBlock = 256;
constexpr std::int64_t kSumsStride = kTokenBlock + 16;
// Rows that a source decodes at once.
constexpr std::int64_t kDecodeRows = 16;
// Bytes of w per task of the dot path: long enough for the memory prefetchers, short enough to
// balance.
constexpr std::int64_t kDotTaskBytes = 128 * 1024;

struct WorkerScratch {
  Scratch<float> rows;  // decoded rows [kDecodeRows, K]
  Scratch<float> w;     // [K pieces][row_block][kGemmKStride]
  Scratch<float> sums;  // [row_block][kSumsStride]
};

// Rows [begin, begin + count) of a part.
struct RowBlock {
  const GemmPart* part;
  std::int64_t begin;
  std::int64_t count;
};

struct ProductScratch {
  Scratch<float> x;  // packed panels, or padded rows
  std::vector<RowBlock> blocks;
  std::vector<WorkerScratch> workers;
};

// Kept per calling thread: growing it anew for each product costs page faults.
ProductScratch& product_scratch(int workers) {
  thread_local ProductScratch scratch;
  if (scratch.workers.size() < static_cast<std::size_t>(workers)) {
    scratch.workers.resize(static_cast<std::size_t>(workers));
  }
  return scratch;
}

struct Product {
  const GemmKernels& kernels;
  const float* x;
  std::int64_t tokens;
  std::int64_t k;
  std::span<const GemmPart> parts;
  [[nodiscard]] std::int64_t slots() const { return ceil_div(k, kernels.slot_columns); }
};

// Loads rows [begin, begin + count) in K pieces: piece p, row r, slot s at
// to[(p * count + r) * kGemmKStride + s].
void load_rows(const Product& p, const RowSource& w, std::int64_t begin, std::int64_t count,
               WorkerScratch& scratch, float* to) {
  const std::int64_t piece = kGemmKBlock * p.kernels.slot_columns;
  const auto spread = [&](std::int64_t row, const auto* values, const auto& load) {
    for (std::int64_t k0 = 0; k0 < p.k; k0 += piece) {
      load(values + k0, std::min(piece, p.k - k0), to + (k0 / piece * count + row) * kGemmKStride);
    }
  };
  if (w.bf16 != nullptr) {
    for (std::int64_t row = 0; row < count; ++row)
      spread(row, w.bf16 + (begin + row) * p.k, p.kernels.load_bf16);
  } else if (w.f32 != nullptr) {
    for (std::int64_t row = 0; row < count; ++row)
      spread(row, w.f32 + (begin + row) * p.k, p.kernels.load_f32);
  } else {
    float* rows = scratch.rows.reserve(kDecodeRows * p.k);
    for (std::int64_t row = 0; row < count; row += kDecodeRows) {
      const std::int64_t batch = std::min(kDecodeRows, count - row);
      w.decode(w.context, begin + row, batch, rows);
      for (std::int64_t i = 0; i < batch; ++i) spread(row + i, rows + i * p.k, p.kernels.load_f32);
    }
  }
}

// x in panels: full ones of panel_tokens, the last rounded up to vector_tokens. Panel i starts at
// i * panel_tokens * slots.
const float* pack_tokens(const Product& p, Scratch<float>& scratch, ThreadPool& pool) {
  const std::int64_t width = p.kernels.panel_tokens;
  const std::int64_t count = ceil_div(p.tokens, width);
  const std::int64_t panel_size = width * p.slots();
  float* panels = scratch.reserve(count * panel_size);
  pool.parallel_for(count, [&](std::int64_t i, int) {
    const std::int64_t tokens = std::min(width, p.tokens - i * width);
    p.kernels.pack(p.x + i * width * p.k, tokens, p.k,
                   ceil_div(tokens, p.kernels.vector_tokens) * p.kernels.vector_tokens,
                   panels + i * panel_size);
  });
  return panels;
}

// Rows [begin, begin + count) of a part times all tokens.
void tiled_block(const Product& p, const GemmPart& part, const float* panels, std::int64_t begin,
                 std::int64_t count, WorkerScratch& scratch) {
  const std::int64_t slots = p.slots();
  const std::int64_t pieces = ceil_div(slots, kGemmKBlock);
  float* w = scratch.w.reserve(pieces * count * kGemmKStride);
  float* sums = scratch.sums.reserve(count * kSumsStride);
  load_rows(p, part.w, begin, count, scratch, w);
  const std::int64_t panel_tokens = p.kernels.panel_tokens;
  for (std::int64_t t0 = 0; t0 < p.tokens; t0 += kTokenBlock) {
    const std::int64_t block_end = std::min(p.tokens, t0 + kTokenBlock);
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      for (std::int64_t t = t0; t < block_end; t += panel_tokens) {
        const std::int64_t tokens = std::min(panel_tokens, block_end - t);
        const std::int64_t width =
            ceil_div(tokens, p.kernels.vector_tokens) * p.kernels.vector_tokens;
        p.kernels.tile({.w = w + piece * count * kGemmKStride,
                        .panel = panels + t * slots + piece * kGemmKBlock * width,
                        .sums = sums + (t - t0),
                        .rows = count,
                        .width = width,
                        .k_count = std::min(kGemmKBlock, slots - piece * kGemmKBlock),
                        .sums_stride = kSumsStride,
                        .first = piece == 0});
      }
    }
    p.kernels.store(sums, kSumsStride, count, block_end - t0, part.y + t0 * part.n + begin, part.n);
  }
}

void tiled_product(const Product& p, ThreadPool& pool) {
  ProductScratch& scratch = product_scratch(pool.size());
  const float* panels = pack_tokens(p, scratch.x, pool);
  std::int64_t n = 0;
  for (const GemmPart& part : p.parts) n += part.n;
  // Few blocks are made equally long, in a multiple of the threads.
  std::int64_t count = ceil_div(n, p.kernels.row_block);
  if (count < 8 * pool.size()) count = ceil_div(count, pool.size()) * pool.size();
  const std::int64_t rows = ceil_div(ceil_div(n, count), 16) * 16;
  std::vector<RowBlock>& blocks = scratch.blocks;
  blocks.clear();
  for (const GemmPart& part : p.parts) {
    for (std::int64_t begin = 0; begin < part.n; begin += rows)
      blocks.push_back({.part = &part, .begin = begin, .count = std::min(rows, part.n - begin)});
  }
  pool.parallel_for(static_cast<std::int64_t>(blocks.size()), [&](std::int64_t i, int worker) {
    const RowBlock& block = blocks[static_cast<std::size_t>(i)];
    tiled_block(p, *block.part, panels, block.begin, block.count,
                scratch.workers[static_cast<std::size_t>(worker)]);
  });
}

// Of the padded rows of x.
std::int64_t dot_stride(const Product& p) { return ceil_div(p.k, kGemmDotPad) * kGemmDotPad; }

void dot_part(const Product& p, const GemmPart& part, const float* x, ProductScratch& scratch,
              ThreadPool& pool) {
  const bool bf16 = part.w.bf16 != nullptr;
  const bool direct = bf16 || part.w.f32 != nullptr;
  const std::int64_t row_bytes = p.k * (bf16 ? 2 : 4);
  const std::int64_t rows =
      direct ? std::clamp<std::int64_t>(kDotTaskBytes / row_bytes / 8 * 8, 8, 1024) : kDecodeRows;
  pool.parallel_for(ceil_div(part.n, rows), [&](std::int64_t i, int worker) {
    const std::int64_t begin = i * rows;
    GemmDotArgs args = {.w = nullptr,
                        .x = x,
                        .y = part.y + begin,
                        .rows = std::min(rows, part.n - begin),
                        .tokens = p.tokens,
                        .k_count = p.k,
                        .x_stride = dot_stride(p),
                        .y_stride = part.n};
    if (bf16) {
      args.w = part.w.bf16 + begin * p.k;
      return p.kernels.dot_bf16(args);
    }
    if (direct) {
      args.w = part.w.f32 + begin * p.k;
    } else {
      auto& worker_scratch = scratch.workers[static_cast<std::size_t>(worker)];
      float* decoded = worker_scratch.rows.reserve(kDecodeRows * p.k);
      part.w.decode(part.w.context, begin, args.rows, decoded);
      args.w = decoded;
    }
    p.kernels.dot_f32(args);
  });
}

void dot_product(const Product& p, ThreadPool& pool) {
  ProductScratch& scratch = product_scratch(pool.size());
  const std::int64_t stride = dot_stride(p);
  float* x = scratch.x.reserve(p.tokens * stride);
  for (std::int64_t t = 0; t < p.tokens; ++t) {
    std::copy_n(p.x + t * p.k, p.k, x + t * stride);
    std::fill(x + t * stride + p.k, x + (t + 1) * stride, 0.0F);
  }
  for (const GemmPart& part : p.parts) dot_part(p, part, x, scratch, pool);
}

}  // namespace

std::span<const GemmRow> gemm_rows() { return kGemmRows; }
std::span<const GemmRow> rounded_gemm_rows() { return kRoundedGemmRows; }

void gemm_with(const GemmKernels& kernels, const float* x, std::int64_t tokens, std::int64_t k,
               std::span<const GemmPart> parts, ThreadPool& pool) {
  QUANTLANE_CHECK(tokens >= 0 && k >= 0);
  if (tokens == 0) return;
  if (k == 0) {
    for (const GemmPart& part : parts) std::fill_n(part.y, tokens * part.n, 0.0F);
    return;
  }
  const Product product = {kernels, x, tokens, k, parts};
  const bool dots = kernels.dot_f32 != nullptr;
  if (dots && (kernels.panel_tokens == 0 || tokens < kTiledTokens)) {
    dot_product(product, pool);
  } else {
    tiled_product(product, pool);
  }
}

void gemm(const float* x, std::int64_t tokens, std::int64_t k, std::span<const GemmPart> parts,
          ThreadPool& pool) {
  static const GemmKernels& chosen = *std::ranges::find_if(kGemmRows, [](const GemmRow& row) {
                                        return row.isa <= active_isa();
                                      })->kernels;
  gemm_with(chosen, x, tokens, k, parts, pool);
}

void gemm(const float* x, std::int64_t tokens, std::int64_t k, const RowSource& w, std::int64_t n,
          float* y, ThreadPool& pool) {
  gemm(x, tokens, k, one_part(w, n, y), pool);
}

void gemm_rounded(const float* x, std::int64_t tokens, std::int64_t k, const RowSource& w,
                  std::int64_t n, float* y, ThreadPool& pool) {
  gemm_rounded(x, tokens, k, one_part(w, n, y), pool);
}

void gemm_rounded(const float* x, std::int64_t tokens, std::int64_t k,
                  std::span<const GemmPart> parts, ThreadPool& pool) {
  static const auto chosen = std::ranges::find_if(
      kRoundedGemmRows, [](const GemmRow& row) { return row.isa <= active_isa(); });
  if (chosen == kRoundedGemmRows.end()) return gemm(x, tokens, k, parts, pool);
  gemm_with(*chosen->kernels, x, tokens, k, parts, pool);
}

}  // namespace quantlane::kernels
