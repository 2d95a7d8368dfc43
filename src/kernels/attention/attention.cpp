// Chooses the row of attention once.
#include <algorithm>
#include <array>

#include "core/check.h"
#include "kernels/attention/attention_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kRows = {AttentionRow{Isa::kRef, attention_ref}};

}  // namespace

std::span<const AttentionRow> attention_rows() { return kRows; }

void attention(const AttentionShape& shape, const float* q, const float* keys, const float* values,
               float* out, ThreadPool& pool) {
  QUANTLANE_CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && shape.head_dim > 0);
  static const AttentionRow& chosen =
      *std::ranges::find_if(kRows, [](const AttentionRow& row) { return row.isa <= active_isa(); });
  chosen.run(shape, q, keys, values, out, pool);
}

}  // namespace quantlane::kernels
