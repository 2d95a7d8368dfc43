// The product in plain loops: the oracle of the other rows.
#include "core/half.h"
#include "kernels/gemm/gemm_kernels.h"

namespace quantlane::kernels {
namespace {

void dot_f32(const GemmDotArgs& args) {
  const auto* w = static_cast<const float*>(args.w);
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t t = 0; t < args.tokens; ++t) {
      double sum = 0;
      for (int64_t k = 0; k < args.k_count; ++k) {
        sum += static_cast<double>(args.x[t * args.x_stride + k]) *
               static_cast<double>(w[r * args.k_count + k]);
      }
      args.y[t * args.y_stride + r] = static_cast<float>(sum);
    }
  }
}

void dot_bf16(const GemmDotArgs& args) {
  const auto* w = static_cast<const uint16_t*>(args.w);
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t t = 0; t < args.tokens; ++t) {
      double sum = 0;
      for (int64_t k = 0; k < args.k_count; ++k) {
        sum += static_cast<double>(args.x[t * args.x_stride + k]) *
               static_cast<double>(bf16_to_f32(w[r * args.k_count + k]));
      }
      args.y[t * args.y_stride + r] = static_cast<float>(sum);
    }
  }
}

}  // namespace

const GemmKernels kGemmRef = {
    .slot_columns = 1,
    .panel_tokens = 0,
    .vector_tokens = 0,
    .row_block = 0,
    .pack = nullptr,
    .tile = nullptr,
    .store = nullptr,
    .load_bf16 = nullptr,
    .load_f32 = nullptr,
    .dot_f32 = dot_f32,
    .dot_bf16 = dot_bf16,
};

}  // namespace quantlane::kernels
