#include "model/damaged_weight.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace quantlane {

Error blame_damaged_weight(const Checkpoint& checkpoint, Error error) {
  for (const Parameter& p : checkpoint.graph()->parameters) {
    const auto weight = checkpoint.weight(p);
    if (!weight) continue;
    std::vector<float> row(static_cast<std::size_t>(weight->cols()));
    for (std::int64_t r = 0; r < weight->rows(); ++r) {
      weight->decode_rows(r, 1, row.data());
      if (std::ranges::all_of(row, [](float value) { return std::isfinite(value); })) continue;
      error.tensor = p.name;
      error.found = "NaN or infinity in row " + std::to_string(r) + " of this weight";
      if (const TensorInfo* stored = checkpoint.stored(p).tensor; stored != nullptr) {
        error.tensor = stored->name;
        error.file = checkpoint.container().files()[stored->shard];
        error.offset = stored->offset;
      }
      return error;
    }
  }
  return error;
}

}  // namespace quantlane
