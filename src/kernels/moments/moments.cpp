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

bool symmetric(const MomentProduct& product, const float* x) {
  return product.y == x && product.minus == nullptr;
}

// Rows in panels, the pairs of all tokens of one panel after those of another.
struct Panels {
  std::int64_t pairs;
  [[nodiscard]] std::int64_t size() const { return pairs * kMomentPanel; }
  [[nodiscard]] static std::int64_t count(std::int64_t cols) {
    return ceil_div(cols, kMomentPanel);
  }
};

void pack_panels(const MomentKernels& kernels, const Panels& panels, const float* rows,
                 const float* minus, std::int64_t tokens, std::int64_t cols, std::uint32_t* to,
                 ThreadPool& pool) {
  pool.parallel_for(Panels::count(cols), [&](std::int64_t panel, int) {
    const std::int64_t column = panel * kMomentPanel;
    kernels.pack(rows + column, minus == nullptr ? nullptr : minus + column, tokens, cols,
                 std::min(kMomentPanel, cols - column), to + panel * panels.size());
  });
}

// Sums of one panel of x with all of a product.
void add_band(const MomentKernels& kernels, const Panels& panels, const std::uint32_t* left,
              const std::uint32_t* right, std::int64_t panel, std::int64_t cols, bool triangle,
              const MomentProduct& product) {
  const std::int64_t begin = panel * kMomentPanel;
  const std::int64_t end = std::min(cols, begin + kMomentPanel);
  const std::int64_t others = Panels::count(product.width);
  for (std::int64_t p = 0; p < panels.pairs; p += kPairs) {
    for (std::int64_t other = triangle ? panel : 0; other < others; ++other) {
      const std::int64_t column = other * kMomentPanel;
      for (std::int64_t row = begin; row < end; row += kMomentRows) {
        kernels.tile({.left = left + panel * panels.size() + p * kMomentPanel + (row - begin),
                      .right = right + other * panels.size() + p * kMomentPanel,
                      .sums = product.sums + row * product.width + column,
                      .stride = product.width,
                      .pairs = std::min(kPairs, panels.pairs - p),
                      .rows = std::min(kMomentRows, end - row),
                      .width = std::min(kMomentPanel, product.width - column)});
      }
    }
  }
}

void packed_moments(const MomentKernels& kernels, const float* x, std::int64_t tokens,
                    std::int64_t cols, std::span<const MomentProduct> products, ThreadPool& pool) {
  thread_local Scratch<std::uint32_t> left_scratch;
  thread_local Scratch<std::uint32_t> right_scratch;
  const Panels panels = {.pairs = ceil_div(tokens, std::int64_t{2})};
  std::uint32_t* left = left_scratch.reserve(Panels::count(cols) * panels.size());
  pack_panels(kernels, panels, x, nullptr, tokens, cols, left, pool);
  for (const MomentProduct& product : products) {
    const bool triangle = symmetric(product, x);
    std::uint32_t* right = left;
    if (!triangle) {
      right = right_scratch.reserve(Panels::count(product.width) * panels.size());
      pack_panels(kernels, panels, product.y, product.minus, tokens, product.width, right, pool);
    }
    pool.parallel_for(Panels::count(cols), [&](std::int64_t panel, int) {
      add_band(kernels, panels, left, right, panel, cols, triangle, product);
    });
  }
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

void product_moments(const float* x, std::int64_t tokens, std::int64_t cols,
                     std::span<const MomentProduct> products, ThreadPool& pool) {
  constexpr std::int64_t kBand = 192;  // rows of the product that are computed at once
  thread_local std::vector<float> columns, others, product;
  transpose(x, nullptr, tokens, cols, columns, pool);
  for (const MomentProduct& of : products) {
    const auto& [y, width, sums, minus] = of;
    const bool triangle = symmetric(of, x);
    if (!triangle) transpose(y, minus, tokens, width, others, pool);
    product.resize(static_cast<std::size_t>(kBand * width));
    for (std::int64_t band = 0; band < cols; band += kBand) {
      const std::int64_t rows = std::min(kBand, cols - band);
      const std::int64_t first = triangle ? band : 0;
      const std::int64_t count = width - first;
      const float* right = triangle ? columns.data() + band * tokens : others.data();
      gemm(columns.data() + band * tokens, rows, tokens, {.f32 = right}, count, product.data(),
           pool);
      for (std::int64_t r = 0; r < rows; ++r) {
        float* to = sums + (band + r) * width + first;
        for (std::int64_t c = triangle ? r : 0; c < count; ++c)
          to[c] += product[static_cast<std::size_t>(r * count + c)];
      }
    }
  }
}

}  // namespace

std::span<const MomentRow> moment_rows() { return kMomentRowsTable; }

void add_moments_with(const MomentRow& row, const float* x, std::int64_t tokens, std::int64_t cols,
                      std::span<const MomentProduct> products, ThreadPool& pool) {
  if (row.kernels == nullptr) {
    product_moments(x, tokens, cols, products, pool);
  } else {
    packed_moments(*row.kernels, x, tokens, cols, products, pool);
  }
}

void add_moments(const float* x, std::int64_t tokens, std::int64_t cols,
                 std::span<const MomentProduct> products, ThreadPool& pool) {
  add_moments_with(chosen_row(), x, tokens, cols, products, pool);
}

}  // namespace quantlane::kernels
