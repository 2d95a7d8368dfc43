// y = x * w^T with weights that decode on the fly: the one product of the runtime.
#pragma once
#include <cstdint>
#include <span>

#include "core/threads.h"

namespace quantlane::kernels {

// Where the rows of w [N, K] come from. `decode` writes rows [begin, begin + count) as float32
// [count, K]; called from several threads at once, each row exactly once per product.
// bf16 / f32: direct pointers to contiguous rows when the storage is plain, else nullptr; kernels
// prefer them over `decode`.
struct RowSource {
  void (*decode)(const void* context, std::int64_t begin, std::int64_t count,
                 float* rows) = nullptr;
  const void* context = nullptr;
  const std::uint16_t* bf16 = nullptr;
  const float* f32 = nullptr;
};

// One w and its y among those that multiply the same x.
struct GemmPart {
  RowSource w;
  std::int64_t n;  // rows of w
  float* y;        // [T, n]
};

// y[t, n] = sum_k x[t, k] * w[n, k]; x [T, K] and y [T, N] row-major float32, no aliasing.
// Accumulates in float32 in an order that depends on K only (and on the instruction set), so each
// y[t, n] has the same bits for any T >= 8 and any thread count; T < 8 takes the dot-product path
// (another order, same bound). |error| <= K * 2^-24 * sum |x*w|.
void gemm(const float* x, std::int64_t tokens, std::int64_t k, const RowSource& w, std::int64_t n,
          float* y, ThreadPool& pool);
// Several of one x, which is packed once: the same bits as one by one.
void gemm(const float* x, std::int64_t tokens, std::int64_t k, std::span<const GemmPart> parts,
          ThreadPool& pool);

// The same for sums that stand some noise (calibration): where the processor multiplies pairs of
// bf16, x and w are rounded to that first (|error| <= 2^-7 * sum |x*w|, unbiased; w in bf16 loses
// nothing), in half of the time; elsewhere it is gemm(). The bits of y[t, n] depend on K only.
void gemm_rounded(const float* x, std::int64_t tokens, std::int64_t k, const RowSource& w,
                  std::int64_t n, float* y, ThreadPool& pool);
void gemm_rounded(const float* x, std::int64_t tokens, std::int64_t k,
                  std::span<const GemmPart> parts, ThreadPool& pool);

}  // namespace quantlane::kernels
