#include "calibrate/hessian.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/ceil_div.h"
#include "kernels/moments.h"

namespace quantlane {
namespace {

template <class See>
void over_rows(std::int64_t tokens, ThreadPool& pool, const See& see) {
  constexpr std::int64_t kRowsPerTask = 64;
  pool.parallel_for(ceil_div(tokens, kRowsPerTask), [&](std::int64_t task, int) {
    const std::int64_t end = std::min(tokens, (task + 1) * kRowsPerTask);
    for (std::int64_t t = task * kRowsPerTask; t < end; ++t) see(t);
  });
}

std::vector<float> row_energies(const float* x, std::int64_t tokens, std::int64_t cols,
                                ThreadPool& pool) {
  std::vector<float> energies(static_cast<std::size_t>(tokens));
  over_rows(tokens, pool, [&](std::int64_t t) {
    double sum = 0;
    for (std::int64_t c = t * cols; c < (t + 1) * cols; ++c)
      sum += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    energies[static_cast<std::size_t>(t)] = static_cast<float>(sum);
  });
  return energies;
}

float median(std::vector<float> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

HessianSum::HessianSum(std::int64_t cols) {
  hessian_.cols = cols;
  hessian_.sums.assign(static_cast<std::size_t>(cols * cols), 0.0F);
}

void HessianSum::add(const float* x, const float* exact, std::int64_t tokens, ThreadPool& pool) {
  const std::int64_t cols = hessian_.cols;
  const std::vector<float> energies = row_energies(x, tokens, cols, pool);
  if (hessian_.tokens == 0) most_energy_ = kMostRowEnergy * median(energies);
  if (std::ranges::any_of(energies, [&](float energy) { return energy > most_energy_; })) {
    const auto temper = [&](const float* rows, float* to) {
      over_rows(tokens, pool, [&](std::int64_t t) {
        const float energy = energies[static_cast<std::size_t>(t)];
        const float factor = energy > most_energy_ ? std::sqrt(most_energy_ / energy) : 1.0F;
        for (std::int64_t c = t * cols; c < (t + 1) * cols; ++c) to[c] = rows[c] * factor;
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
