// Changes of one parameter that are made while its rows are decoded: scalings and rotations between
// layers that leave the model's function as it is, merged adapters. What is stored stays as it is.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/hash.h"
#include "model/rotation.h"

namespace quantlane {

// scale * b a, added to a matrix [rows, cols] (LoRA: Hu et al. 2021, section 4.1).
struct LowRankDelta {
  std::int64_t rank = 0;
  std::vector<float> a;  // [rank, cols]
  std::vector<float> b;  // [rows, rank]
  float scale = 1;
};

// Of a parameter [rows, cols] (vectors: one row). Value (r, c) becomes
//   row_factors[r] * (w + delta(r, c)) * column_factors[c],
// w being that of `values` where given, else the stored one. Norm weights that are stored minus one
// (Gemma) are scaled as they are applied: (1 + w) * factor - 1. Then each row is turned by
// column_rotation, size() columns at a time, and each column by row_rotation: matrices and biases
// only.
struct WeightEdit {
  std::shared_ptr<const std::vector<float>> values = {};  // [rows, cols] in place of the stored
  std::shared_ptr<const LowRankDelta> delta = {};         // null = none
  std::vector<float> row_factors = {};                    // [rows]; empty = 1
  std::vector<float> column_factors = {};                 // [cols]; empty = 1
  std::shared_ptr<const Rotation> row_rotation = {};      // its size divides rows; null = none
  std::shared_ptr<const Rotation> column_rotation = {};   // its size divides cols; null = none
};

// By parameter name ("model.layers.0.self_attn.q_proj.weight").
using WeightEdits = std::map<std::string, WeightEdit, std::less<>>;

// Edits the decoded rows [begin, begin + count) in place: values [count, cols], stored minus
// `offset`. With a row_rotation whole multiples of its size: rows depend on each other there.
void apply_edit(const WeightEdit& edit, std::int64_t begin, std::int64_t count, std::int64_t cols,
                float offset, float* values);

// Do the sizes fit [rows, cols], and are all numbers finite?
bool edit_fits(const WeightEdit& edit, std::int64_t rows, std::int64_t cols);

void add_to_hash(const WeightEdit& edit, ContentHash& hash);

}  // namespace quantlane
