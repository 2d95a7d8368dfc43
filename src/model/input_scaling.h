// Which inputs of Linears can be scaled per column, and where the inverse goes, so that the model's
// function stays as it is: the diagonal transforms of SmoothQuant (Xiao et al. 2022, section 4) and
// AWQ (Lin et al. 2023, section 3.2).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "model/graph.h"
#include "model/weight_edit.h"

namespace quantlane {

// One input, what makes it and everything that reads it. Element i of what the source gives is
// divided, every column c of the readers with source_of_column[c] = i is multiplied.
struct ScalableInput {
  const Parameter* source = nullptr;           // the weight of a norm, or a Linear: its rows
  const Parameter* source_bias = nullptr;      // of that Linear, or null
  std::vector<const Parameter*> readers;       // all of them: none may keep its columns
  std::vector<std::int64_t> source_of_column;  // [K of the readers]
  // Elements that the source gives: columns of a norm, rows of a Linear.
  [[nodiscard]] std::int64_t source_size() const;
  [[nodiscard]] std::int64_t cols() const { return readers.front()->cols; }
};

// Of one layer, in execution order: attention norm -> q, k, v; v -> o (heads that share a value
// head share its factors); but in layers of experts: feed-forward norm -> gate, up; up -> down.
// Norms of q and k, of what is added to the stream and before the head have no such freedom, or no
// quantized reader.
std::vector<ScalableInput> scalable_inputs(const Graph& graph, std::int64_t layer);

// The edits that multiply the columns of the readers by `factors` [source_size()], positive, and
// divide the source by them. They are added to `edits`, where parameters may have some already.
void add_scaling(const ScalableInput& input, std::span<const float> factors, WeightEdits& edits);

}  // namespace quantlane
