// Splits second moments into bands of columns for the threads.
#include "kernels/moments.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/ceil_div.h"
#include "kernels/gemm.h"
#include "kernels/moments/moments_table.h"
#include "kernels/scratch.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kMomentRowsTable = {MomentRow{Isa::kAvx512Bf16, &kMomentsAvx512Bf16},
                                         MomentRow{Isa::kRef, nullptr}};

const MomentRow& chosen_row() {
  static const MomentRow& row = *std::ranges::find_if(
      kMomentRowsTable, [](const MomentRow& candidate) { return candidate.isa <= active_isa(); });
  return row;
}

// Pairs of tokens at a time: one panel of them is 16 KiB, so that the left one and the right one
// stay in a level-1 cache.
constexpr std::int64_t kPairs = 128;

struct Packed {
  Scratch<std::uint32_t> left;
  Scratch<std::uint32_t> right;
};
Packed& packed_scratch() {
  thread_local Packed scratch;
  return scratch;
}

void packed_moments(const MomentKernels& kernels, const float* x, const float* y,
                    std::int64_t tokens, std::int64_t cols, float* sums, ThreadPool& pool) {
  const std::int64_t pairs = ceil_div(tokens, std::int64_t{2});
  const std::int64_t panels = ceil_div(cols, kMomentPanel);
  const std::int64_t panel_size = pairs * kMomentPanel;
  const bool shifted = y != x;
  Packed& scratch = packed_scratch();
  std::uint32_t* left = scratch.left.reserve(panels * panel_size);
  std::uint32_t* right = shifted ? scratch.right.reserve(panels * panel_size) : left;
  pool.parallel_for(panels, [&](std::int64_t panel, int) {
    const std::int64_t column = panel * kMomentPanel;
    const std::int64_t width = std::min(kMomentPanel, cols - column);
    kernels.pack(x + column, nullptr, tokens, cols, width, left + panel * panel_size);
    if (shifted)
      kernels.pack(y + column, x + column, tokens, cols, width, right + panel * panel_size);
  });
  pool.parallel_for(panels, [&](std::int64_t panel, int) {
    const std::int64_t begin = panel * kMomentPanel;
    const std::int64_t end = std::min(cols, begin + kMomentPanel);
    for (std::int64_t p = 0; p < pairs; p += kPairs) {
      for (std::int64_t other = shifted ? 0 : panel; other < panels; ++other) {
        const std::int64_t column = other * kMomentPanel;
        for (std::int64_t row = begin; row < end; row += kMomentRows) {
          kernels.tile({.left = left + panel * panel_size + p * kMomentPanel + (row - begin),
                        .right = right + other * panel_size + p * kMomentPanel,
                        .sums = sums + row * cols + column,
                        .stride = cols,
                        .pairs = std::min(kPairs, pairs - p),
                        .rows = std::min(kMomentRows, end - row),
                        .width = std::min(kMomentPanel, cols - column)});
        }
      }
    }
  });
}

// rows [tokens, cols] -> columns [cols, tokens], less those of `from`.
void transpose(const float* rows, const float* from, std::int64_t tokens, std::int64_t cols,
               std::vector<float>& columns, ThreadPool& pool) {
  constexpr std::int64_t kColumnsPerTask = 32;
  columns.resize(static_cast<std::size_t>(cols * tokens));
  pool.parallel_for(ceil_div(cols, kColumnsPerTask), [&](std::int64_t task, int) {
    const std::int64_t begin = task * kColumnsPerTask;
    const std::int64_t end = std::min(cols, begin + kColumnsPerTask);
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t c = begin; c < end; ++c) {
        const float value = rows[t * cols + c];
        columns[static_cast<std::size_t>(c * tokens + t)] =
            from == nullptr ? value : value - from[t * cols + c];
      }
    }
  });
}

void product_moments(const float* x, const float* y, std::int64_t tokens, std::int64_t cols,
                     float* sums, ThreadPool& pool) {
  constexpr std::int64_t kBand = 192;  // rows of the product that are computed at once
  thread_local std::vector<float> columns, missing, product;
  transpose(x, nullptr, tokens, cols, columns, pool);
  const bool shifted = y != x;
  if (shifted) transpose(y, x, tokens, cols, missing, pool);
  product.resize(static_cast<std::size_t>(kBand * cols));
  for (std::int64_t band = 0; band < cols; band += kBand) {
    const std::int64_t rows = std::min(kBand, cols - band);
    const std::int64_t first = shifted ? 0 : band;
    const std::int64_t width = cols - first;
    const float* right = shifted ? missing.data() : columns.data() + band * tokens;
    gemm(columns.data() + band * tokens, rows, tokens, {.f32 = right}, width, product.data(), pool);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* to = sums + (band + r) * cols + first;
      for (std::int64_t c = shifted ? 0 : r; c < width; ++c)
        to[c] += product[static_cast<std::size_t>(r * width + c)];
    }
  }
}

}  // namespace

std::span<const MomentRow> moment_rows() { return kMomentRowsTable; }

void add_moments_with(const MomentRow& row, const float* x, const float* y, std::int64_t tokens,
                      std::int64_t cols, float* sums, ThreadPool& pool) {
  if (row.kernels == nullptr) {
    product_moments(x, y, tokens, cols, sums, pool);
  } else {
    packed_moments(*row.kernels, x, y, tokens, cols, sums, pool);
  }
}

void add_moments(const float* x, std::int64_t tokens, std::int64_t cols, float* sums,
                 ThreadPool& pool) {
  add_moments_with(chosen_row(), x, x, tokens, cols, sums, pool);
}

void add_shift_moments(const float* x, const float* y, std::int64_t tokens, std::int64_t cols,
                       float* sums, ThreadPool& pool) {
  add_moments_with(chosen_row(), x, y, tokens, cols, sums, pool);
}

}  // namespace quantlane::kernels
