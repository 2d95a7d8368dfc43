#include "calibrate/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "kernels/gemm.h"
#include "kernels/moments.h"
#include "runtime/over_tokens.h"

namespace quantlane {
namespace {

// Sums of squares of the rows: of every kLanes-th value first, which vectors add up.
std::vector<float> row_energies(const float* x, std::int64_t tokens, std::int64_t cols,
                                ThreadPool& pool) {
  constexpr std::int64_t kLanes = 16;
  std::vector<float> energies(static_cast<std::size_t>(tokens));
  over_tokens(tokens, pool, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t) {
      const float* row = x + t * cols;
      float sums[kLanes] = {};
      std::int64_t c = 0;
      for (; c + kLanes <= cols; c += kLanes) {
        for (std::int64_t i = 0; i < kLanes; ++i) sums[i] += row[c + i] * row[c + i];
      }
      for (; c < cols; ++c) sums[0] += row[c] * row[c];
      energies[static_cast<std::size_t>(t)] = std::accumulate(sums, sums + kLanes, 0.0F);
    }
  });
  return energies;
}

}  // namespace

HessianSum::HessianSum(std::int64_t cols) {
  hessian_.cols = cols;
  hessian_.sums.assign(static_cast<std::size_t>(cols * cols), 0.0F);
}

HessianSum::Rows HessianSum::tempered(const float* x, const float* beside, std::int64_t width,
                                      std::int64_t tokens, ThreadPool& pool) {
  const std::int64_t cols = hessian_.cols;
  const std::vector<float> energies = row_energies(x, tokens, cols, pool);
  if (hessian_.tokens == 0) most_energy_ = most_row_energy(energies);
  if (std::ranges::none_of(energies, [&](float energy) { return energy > most_energy_; }))
    return {.x = x, .beside = beside};
  const auto temper = [&](const float* rows, std::int64_t values, float* to) {
    over_tokens(tokens, pool, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t t = first; t < first + count; ++t) {
        const float energy = energies[static_cast<std::size_t>(t)];
        const float factor = energy > most_energy_ ? std::sqrt(most_energy_ / energy) : 1.0F;
        for (std::int64_t c = t * values; c < (t + 1) * values; ++c) to[c] = rows[c] * factor;
      }
    });
    return to;
  };
  tempered_.resize(static_cast<std::size_t>(tokens * (cols + width)));
  const float* rows = temper(x, cols, tempered_.data());
  return {.x = rows,
          .beside = beside == x ? rows : temper(beside, width, tempered_.data() + tokens * cols)};
}

void HessianSum::add(const float* x, const float* exact, std::int64_t tokens, ThreadPool& pool) {
  const std::int64_t cols = hessian_.cols;
  const Rows rows = tempered(x, exact, cols, tokens, pool);
  std::vector<kernels::MomentProduct> products = {
      {.y = rows.x, .width = cols, .sums = hessian_.sums.data()}};
  if (exact != x) {
    hessian_.shift.resize(hessian_.sums.size());
    products.push_back(
        {.y = rows.beside, .width = cols, .sums = hessian_.shift.data(), .minus = rows.x});
  }
  kernels::add_moments(rows.x, tokens, cols, products, pool);
  hessian_.tokens += tokens;
}

void HessianSum::add_with_outputs(const float* x, const float* outputs, std::int64_t width,
                                  std::int64_t tokens, ThreadPool& pool) {
  const std::int64_t cols = hessian_.cols;
  const Rows rows = tempered(x, outputs, width, tokens, pool);
  hessian_.lack.resize(static_cast<std::size_t>(cols * width));
  const kernels::MomentProduct products[] = {
      {.y = rows.x, .width = cols, .sums = hessian_.sums.data()},
      {.y = rows.beside, .width = width, .sums = hessian_.lack.data()}};
  kernels::add_moments(rows.x, tokens, cols, products, pool);
  hessian_.tokens += tokens;
}

Hessian HessianSum::take(ThreadPool& pool) {
  const std::int64_t cols = hessian_.cols;
  // Rows of a piece share the lines of the columns that they are copied from.
  over_tokens(cols, pool, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t end = first + count;
    for (std::int64_t c = 0; c < end; ++c) {
      for (std::int64_t r = std::max(c + 1, first); r < end; ++r)
        hessian_.sums[static_cast<std::size_t>(r * cols + c)] =
            hessian_.sums[static_cast<std::size_t>(c * cols + r)];
    }
  });
  return std::move(hessian_);
}

Hessian HessianSum::take(const std::vector<float>& weights, ThreadPool& pool) {
  Hessian hessian = take(pool);
  const std::int64_t cols = hessian.cols;
  const auto width = static_cast<std::int64_t>(hessian.lack.size()) / cols;
  QUANTLANE_CHECK(static_cast<std::int64_t>(weights.size()) == width * cols);
  // In float32: what is left is a small part of either.
  std::vector<float> given(hessian.lack.size());
  kernels::gemm(hessian.sums.data(), cols, cols, {.f32 = weights.data()}, width, given.data(),
                pool);
  for (std::size_t i = 0; i < given.size(); ++i) hessian.lack[i] -= given[i];
  return hessian;
}

}  // namespace quantlane
