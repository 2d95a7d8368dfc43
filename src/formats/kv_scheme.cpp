#include "formats/kv_scheme.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/check.h"
#include "core/half.h"
#include "formats/scale_storage.h"

namespace quantlane {
namespace {

constexpr float kLargestKvCode = 448;

void round_fp8(float* values, std::int64_t count, float scale) {
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = e4m3_to_f32(f32_to_e4m3(values[i] / scale)) * scale;
  }
}

template <int kLevels>
void round_integers(float* values, std::int64_t count, float) {
  float largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(values[i]));
  const float scale = largest / static_cast<float>(kLevels);
  // Zeros, or numbers so small that the scale vanishes.
  if (!(scale > 0)) return std::fill(values, values + count, 0.0F);
  for (std::int64_t i = 0; i < count; ++i) {
    const float code = round_half_even(values[i] / scale);
    values[i] =
        std::clamp(code, -static_cast<float>(kLevels + 1), static_cast<float>(kLevels)) * scale;
  }
}

constexpr std::array kSchemes = {
    KvScheme{"fp8", "FP8 E4M3, one scale per layer", 8, true, false, round_fp8},
    KvScheme{"fp8_head", "FP8 E4M3, one scale per head", 8, true, true, round_fp8},
    KvScheme{"int8", "INT8, a scale per token and head", 8, false, false, round_integers<127>},
    KvScheme{"int4", "INT4, a scale per token and head", 4, false, false, round_integers<7>}};

}  // namespace

std::span<const KvScheme> kv_schemes() { return kSchemes; }

Result<const KvScheme*> find_kv_scheme(std::string_view name) {
  std::string known;
  for (const KvScheme& scheme : kSchemes) {
    if (scheme.name == name) return &scheme;
    known += (known.empty() ? "" : ", ") + std::string(scheme.name);
  }
  return fail(usage_error("choosing the scheme of the key-value cache")
                  .expects("one of " + known)
                  .got("\"" + std::string(name) + "\""));
}

void KvRounding::round(std::int64_t layer, bool values, float* rows, std::int64_t tokens,
                       std::int64_t head_dim) const {
  const std::vector<float>& scales = values ? value_scales : key_scales;
  const std::int64_t per_layer = scheme->per_head ? heads : 1;
  QUANTLANE_CHECK(!scheme->calibrated ||
                  static_cast<std::int64_t>(scales.size()) >= (layer + 1) * per_layer);
  for (std::int64_t i = 0; i < tokens * heads; ++i) {
    const std::int64_t at = layer * per_layer + (scheme->per_head ? i % heads : 0);
    const float scale = scheme->calibrated ? scales[static_cast<std::size_t>(at)] : 1;
    scheme->round(rows + i * head_dim, head_dim, scale);
  }
}

float kv_scale_for(float largest) { return largest > 0 ? largest / kLargestKvCode : 1; }

}  // namespace quantlane
