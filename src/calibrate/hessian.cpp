#include "calibrate/hessian.h"

#include <algorithm>
#include <utility>

#include "core/ceil_div.h"
#include "kernels/gemm.h"

namespace quantlane {
namespace {

// Rows of the product that are computed at once; left of them the matrix mirrors itself.
constexpr std::int64_t kBand = 192;
constexpr std::int64_t kColumnsPerTask = 32;

// rows [tokens, cols] -> columns [cols, tokens], less those of `from`.
void transpose(const float* rows, const float* from, std::int64_t tokens, std::int64_t cols,
               std::vector<float>& columns, ThreadPool& pool) {
  columns.resize(static_cast<std::size_t>(cols * tokens));
  const std::int64_t tasks = ceil_div(cols, kColumnsPerTask);
  pool.parallel_for(tasks, [&](std::int64_t task, int) {
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

}  // namespace

HessianSum::HessianSum(std::int64_t cols) {
  hessian_.cols = cols;
  hessian_.sums.assign(static_cast<std::size_t>(cols * cols), 0.0F);
}

void HessianSum::add(const float* x, const float* exact, std::int64_t tokens, ThreadPool& pool) {
  const std::int64_t cols = hessian_.cols;
  transpose(x, nullptr, tokens, cols, columns_, pool);
  product_.resize(static_cast<std::size_t>(std::max(kBand, cols) * cols));
  for (std::int64_t band = 0; band < cols; band += kBand) {
    const std::int64_t rows = std::min(kBand, cols - band);
    const std::int64_t width = cols - band;
    const float* from = columns_.data() + band * tokens;
    kernels::gemm(from, rows, tokens, {.f32 = from}, width, product_.data(), pool);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* sums = hessian_.sums.data() + (band + r) * cols + band;
      for (std::int64_t c = r; c < width; ++c)
        sums[c] += product_[static_cast<std::size_t>(r * width + c)];
    }
  }
  if (exact != x) {
    hessian_.shift.resize(hessian_.sums.size());
    transpose(exact, x, tokens, cols, missing_, pool);
    kernels::gemm(columns_.data(), cols, tokens, {.f32 = missing_.data()}, cols, product_.data(),
                  pool);
    for (std::size_t i = 0; i < hessian_.shift.size(); ++i) hessian_.shift[i] += product_[i];
  }
  hessian_.tokens += tokens;
}

Hessian HessianSum::take() {
  const std::int64_t cols = hessian_.cols;
  for (std::int64_t r = 0; r < cols; ++r) {
    for (std::int64_t c = 0; c < r; ++c)
      hessian_.sums[static_cast<std::size_t>(r * cols + c)] =
          hessian_.sums[static_cast<std::size_t>(c * cols + r)];
  }
  return std::move(hessian_);
}

}  // namespace quantlane
