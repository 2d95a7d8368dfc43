// Chooses how activations are rounded.
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

using RoundRow = void (*)(float* row, std::int64_t cols, float scale);

// nullptr: only the scalar code knows it.
RoundRow kernel_for(const ActivationKernels& kernels, const ActivationScheme& scheme) {
  if (scheme.plain == DType::kF16) return kernels.round_f16;
  if (scheme.plain == DType::kBF16) return kernels.round_bf16;
  if (scheme.bits != 8 || !scheme.symmetric) return nullptr;
  const bool f32_scale = scheme.scale_dtype == DType::kF32;
  if (scheme.ggml_codes) return f32_scale ? kernels.round_q8_k : kernels.round_q8_0;
  if (!f32_scale) return nullptr;
  return scheme.type == ValueType::kFloat ? kernels.round_e4m3 : kernels.round_int8;
}

}  // namespace

std::span<const ActivationRow> activation_rows() { return kRows; }

void round_activations_with(const ActivationRow& row, const ActivationScheme& scheme, float* values,
                            std::int64_t tokens, std::int64_t cols) {
  QUANTLANE_CHECK(!scheme.calibrated() || scheme.static_scale > 0);
  const RoundRow round = row.kernels == nullptr ? nullptr : kernel_for(*row.kernels, scheme);
  const float scale = scheme.dynamic ? 0.0F : scheme.static_scale;
  if (round == nullptr) {
    quantlane::round_activations(scheme, values, tokens, cols);
    return;
  }
  const std::int64_t length = scheme.granularity == Granularity::kGroup
                                  ? std::min<std::int64_t>(scheme.group_size, cols)
                                  : cols;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t c = 0; c < cols; c += length) {
      round(values + t * cols + c, std::min(length, cols - c), scale);
    }
  }
}

void round_activations(const ActivationScheme& scheme, float* values, std::int64_t tokens,
                       std::int64_t cols) {
  static const ActivationRow& chosen = *std::ranges::find_if(
      kRows, [](const ActivationRow& row) { return row.isa <= active_isa(); });
  round_activations_with(chosen, scheme, values, tokens, cols);
}

}  // namespace quantlane::kernels
