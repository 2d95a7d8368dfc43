#include "model/weight_edit.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "core/check.h"

namespace quantlane {
namespace {

// Rows of b times a, added.
void add_delta(const LowRankDelta& delta, std::int64_t begin, std::int64_t count, std::int64_t cols,
               float* values) {
  for (std::int64_t r = 0; r < count; ++r) {
    float* row = values + r * cols;
    for (std::int64_t k = 0; k < delta.rank; ++k) {
      const float factor =
          delta.scale * delta.b[static_cast<std::size_t>((begin + r) * delta.rank + k)];
      const float* a = delta.a.data() + k * cols;
      for (std::int64_t c = 0; c < cols; ++c) row[c] += factor * a[c];
    }
  }
}

bool fits(const std::vector<float>& values, std::int64_t size) {
  return static_cast<std::int64_t>(values.size()) == size &&
         std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

void scale_rows(const WeightEdit& edit, std::int64_t begin, std::int64_t count, std::int64_t cols,
                float offset, float* values) {
  if (edit.row_factors.empty() && edit.column_factors.empty()) return;
  for (std::int64_t r = 0; r < count; ++r) {
    float* row = values + r * cols;
    const float factor =
        edit.row_factors.empty() ? 1.0F : edit.row_factors[static_cast<std::size_t>(begin + r)];
    if (edit.column_factors.empty()) {
      for (std::int64_t c = 0; c < cols; ++c) row[c] = (row[c] + offset) * factor - offset;
      continue;
    }
    const float* columns = edit.column_factors.data();
    for (std::int64_t c = 0; c < cols; ++c) {
      row[c] = (row[c] + offset) * factor * columns[c] - offset;
    }
  }
}

void rotate_rows(const WeightEdit& edit, std::int64_t count, std::int64_t cols, float* values) {
  if (const Rotation* rotation = edit.column_rotation.get())
    rotation->turn(values, count * (cols / rotation->size()));
  const Rotation* rotation = edit.row_rotation.get();
  if (rotation == nullptr) return;
  QUANTLANE_DCHECK(count % rotation->size() == 0);
  for (std::int64_t r = 0; r < count; r += rotation->size())
    rotation->turn_columns(values + r * cols, cols);
}

void add_values(const std::vector<float>& values, ContentHash& hash) {
  const auto size = static_cast<std::uint64_t>(values.size());
  hash.add(std::as_bytes(std::span(&size, 1)));
  hash.add(std::as_bytes(std::span(values)));
}

}  // namespace

void apply_edit(const WeightEdit& edit, std::int64_t begin, std::int64_t count, std::int64_t cols,
                float offset, float* values) {
  if (edit.values) {
    std::memcpy(values, edit.values->data() + begin * cols,
                static_cast<std::size_t>(count * cols) * sizeof(float));
  }
  if (edit.delta) add_delta(*edit.delta, begin, count, cols, values);
  scale_rows(edit, begin, count, cols, offset, values);
  if (edit.row_rotation == nullptr && edit.column_rotation == nullptr) return;
  QUANTLANE_DCHECK(offset == 0);
  rotate_rows(edit, count, cols, values);
}

bool edit_fits(const WeightEdit& edit, std::int64_t rows, std::int64_t cols) {
  const auto fits_or_empty = [](const std::vector<float>& factors, std::int64_t size) {
    return factors.empty() || fits(factors, size);
  };
  if (edit.values && !fits(*edit.values, rows * cols)) return false;
  if (edit.delta) {
    const LowRankDelta& delta = *edit.delta;
    if (delta.rank < 1 || !std::isfinite(delta.scale) || !fits(delta.a, delta.rank * cols) ||
        !fits(delta.b, rows * delta.rank)) {
      return false;
    }
  }
  const auto divides = [](const std::shared_ptr<const Rotation>& rotation, std::int64_t size) {
    return rotation == nullptr || size % rotation->size() == 0;
  };
  return fits_or_empty(edit.row_factors, rows) && fits_or_empty(edit.column_factors, cols) &&
         divides(edit.row_rotation, rows) && divides(edit.column_rotation, cols);
}

void add_to_hash(const WeightEdit& edit, ContentHash& hash) {
  add_values(edit.values ? *edit.values : std::vector<float>{}, hash);
  const LowRankDelta& delta = edit.delta ? *edit.delta : LowRankDelta{};
  add_values(delta.a, hash);
  add_values(delta.b, hash);
  hash.add(std::as_bytes(std::span(&delta.scale, 1)));
  add_values(edit.row_factors, hash);
  add_values(edit.column_factors, hash);
  for (const Rotation* rotation : {edit.row_rotation.get(), edit.column_rotation.get()})
    add_values(rotation == nullptr ? std::vector<float>{} : rotation->signs(), hash);
}

}  // namespace quantlane
