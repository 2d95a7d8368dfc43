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

void packed_moments(const MomentKernels& kernels, const MomentFactors& factors, std::int64_t tokens,
                    float* sums, ThreadPool& pool) {
  const std::int64_t pairs = ceil_div(tokens, std::int64_t{2});
  const std::int64_t panel_size = pairs * kMomentPanel;
  const std::int64_t left_panels = ceil_div(factors.cols, kMomentPanel);
  const std::int64_t right_panels = ceil_div(factors.width, kMomentPanel);
  const bool symmetric = factors.symmetric();
  Packed& scratch = packed_scratch();
  std::uint32_t* left = scratch.left.reserve(left_panels * panel_size);
  std::uint32_t* right = symmetric ? left : scratch.right.reserve(right_panels * panel_size);
  const auto pack = [&](const float* rows, const float* minus, std::int64_t cols,
                        std::int64_t panel, std::uint32_t* panels) {
    const std::int64_t column = panel * kMomentPanel;
    kernels.pack(rows + column, minus == nullptr ? nullptr : minus + column, tokens, cols,
                 std::min(kMomentPanel, cols - column), panels + panel * panel_size);
  };
  pool.parallel_for(left_panels, [&](std::int64_t panel, int) {
    pack(factors.x, nullptr, factors.cols, panel, left);
  });
  if (!symmetric) {
    pool.parallel_for(right_panels, [&](std::int64_t panel, int) {
      pack(factors.y, factors.minus, factors.width, panel, right);
    });
  }
  pool.parallel_for(left_panels, [&](std::int64_t panel, int) {
    const std::int64_t begin = panel * kMomentPanel;
    const std::int64_t end = std::min(factors.cols, begin + kMomentPanel);
    for (std::int64_t p = 0; p < pairs; p += kPairs) {
      for (std::int64_t other = symmetric ? panel : 0; other < right_panels; ++other) {
        const std::int64_t column = other * kMomentPanel;
        for (std::int64_t row = begin; row < end; row += kMomentRows) {
          kernels.tile({.left = left + panel * panel_size + p * kMomentPanel + (row - begin),
                        .right = right + other * panel_size + p * kMomentPanel,
                        .sums = sums + row * factors.width + column,
                        .stride = factors.width,
                        .pairs = std::min(kPairs, pairs - p),
                        .rows = std::min(kMomentRows, end - row),
                        .width = std::min(kMomentPanel, factors.width - column)});
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

void product_moments(const MomentFactors& factors, std::int64_t tokens, float* sums,
                     ThreadPool& pool) {
  constexpr std::int64_t kBand = 192;  // rows of the product that are computed at once
  thread_local std::vector<float> columns, others, product;
  transpose(factors.x, nullptr, tokens, factors.cols, columns, pool);
  const bool symmetric = factors.symmetric();
  if (!symmetric) transpose(factors.y, factors.minus, tokens, factors.width, others, pool);
  product.resize(static_cast<std::size_t>(kBand * factors.width));
  for (std::int64_t band = 0; band < factors.cols; band += kBand) {
    const std::int64_t rows = std::min(kBand, factors.cols - band);
    const std::int64_t first = symmetric ? band : 0;
    const std::int64_t width = factors.width - first;
    const float* right = symmetric ? columns.data() + band * tokens : others.data();
    gemm(columns.data() + band * tokens, rows, tokens, {.f32 = right}, width, product.data(), pool);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* to = sums + (band + r) * factors.width + first;
      for (std::int64_t c = symmetric ? r : 0; c < width; ++c)
        to[c] += product[static_cast<std::size_t>(r * width + c)];
    }
  }
}

}  // namespace

std::span<const MomentRow> moment_rows() { return kMomentRowsTable; }

void add_moments_with(const MomentRow& row, const MomentFactors& factors, std::int64_t tokens,
                      float* sums, ThreadPool& pool) {
  if (row.kernels == nullptr) {
    product_moments(factors, tokens, sums, pool);
  } else {
    packed_moments(*row.kernels, factors, tokens, sums, pool);
  }
}

void add_moments(const float* x, std::int64_t tokens, std::int64_t cols, float* sums,
                 ThreadPool& pool) {
  add_moments_with(chosen_row(), {.x = x, .cols = cols, .y = x, .width = cols}, tokens, sums, pool);
}

void add_shift_moments(const float* x, const float* y, std::int64_t tokens, std::int64_t cols,
                       float* sums, ThreadPool& pool) {
  add_moments_with(chosen_row(), {.x = x, .cols = cols, .y = y, .width = cols, .minus = x}, tokens,
                   sums, pool);
}

void add_cross_moments(const float* x, const float* y, std::int64_t tokens, std::int64_t cols,
                       std::int64_t width, float* sums, ThreadPool& pool) {
  add_moments_with(chosen_row(), {.x = x, .cols = cols, .y = y, .width = width}, tokens, sums,
                   pool);
}

}  // namespace quantlane::kernels
