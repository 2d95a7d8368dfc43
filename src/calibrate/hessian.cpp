#include "calibrate/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

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

void HessianSum::add(const float* x, const float* exact, std::int64_t tokens, ThreadPool& pool) {
  const std::int64_t cols = hessian_.cols;
  const std::vector<float> energies = row_energies(x, tokens, cols, pool);
  if (hessian_.tokens == 0) most_energy_ = most_row_energy(energies);
  if (std::ranges::any_of(energies, [&](float energy) { return energy > most_energy_; })) {
    const auto temper = [&](const float* rows, float* to) {
      over_tokens(tokens, pool, [&](std::int64_t first, std::int64_t count) {
        for (std::int64_t t = first; t < first + count; ++t) {
          const float energy = energies[static_cast<std::size_t>(t)];
          const float factor = energy > most_energy_ ? std::sqrt(most_energy_ / energy) : 1.0F;
          for (std::int64_t c = t * cols; c < (t + 1) * cols; ++c) to[c] = rows[c] * factor;
        }
      });
      return to;
    };
    const auto size = static_cast<std::size_t>(tokens * cols);
    tempered_.resize(2 * size);
    const float* rows = temper(x, tempered_.data());
    exact = exact == x ? rows : temper(exact, tempered_.data() + size);
    x = rows;
  }
  kernels::add_moments(x, tokens, cols, hessian_.sums.data(), pool);
  if (exact != x) {
    hessian_.shift.resize(hessian_.sums.size());
    kernels::add_shift_moments(x, exact, tokens, cols, hessian_.shift.data(), pool);
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
