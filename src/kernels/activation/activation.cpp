// Chooses how activations are rounded and splits the tokens.
#include "kernels/activation.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "formats/group_format.h"
#include "kernels/activation/activation_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kRows = {ActivationRow{Isa::kAvx512, &kActivationAvx512},
                              ActivationRow{Isa::kAvx2, &kActivationAvx2},
                              ActivationRow{Isa::kRef, nullptr}};

// Values per task: enough work to pay for handing it out.
constexpr std::int64_t kTaskValues = 32 * 1024;

}  // namespace

std::span<const ActivationRow> activation_rows() { return kRows; }

void round_activations_with(const ActivationRow& row, const ActivationScheme& scheme, float* values,
                            std::int64_t tokens, std::int64_t cols, ThreadPool& pool) {
  QUANTLANE_CHECK(scheme.dynamic || scheme.static_scale > 0);
  if (tokens == 0 || cols == 0) return;
  void (*round)(float*, std::int64_t, float) = nullptr;
  if (row.kernels != nullptr && scheme.bits == 8) {
    round = scheme.type == ValueType::kFloat ? row.kernels->round_e4m3 : row.kernels->round_int8;
  }
  const float scale = scheme.dynamic ? 0.0F : scheme.static_scale;
  const std::int64_t step = std::max<std::int64_t>(1, kTaskValues / cols);
  pool.parallel_for((tokens + step - 1) / step, [&](std::int64_t index, int) {
    const std::int64_t begin = index * step;
    const std::int64_t count = std::min(step, tokens - begin);
    if (round == nullptr) {
      quantlane::round_activations(scheme, values + begin * cols, count, cols);
      return;
    }
    for (std::int64_t t = begin; t < begin + count; ++t) round(values + t * cols, cols, scale);
  });
}

void round_activations(const ActivationScheme& scheme, float* values, std::int64_t tokens,
                       std::int64_t cols, ThreadPool& pool) {
  static const ActivationRow& chosen = *std::ranges::find_if(
      kRows, [](const ActivationRow& row) { return row.isa <= active_isa(); });
  round_activations_with(chosen, scheme, values, tokens, cols, pool);
}

}  // namespace quantlane::kernels
