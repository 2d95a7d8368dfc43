#include "model/sampled_rows.h"

#include "core/evenly_spaced.h"

namespace quantlane {

SampledRows sample_rows(const Weight& weight, std::int64_t most) {
  const std::vector<std::int64_t> indices = evenly_spaced(weight.rows(), most);
  SampledRows rows{
      .count = static_cast<std::int64_t>(indices.size()),
      .cols = weight.cols(),
      .values = std::vector<float>(indices.size() * static_cast<std::size_t>(weight.cols()))};
  for (std::int64_t r = 0; r < rows.count; ++r)
    weight.decode_rows(indices[static_cast<std::size_t>(r)], 1, rows.row(r));
  return rows;
}

}  // namespace quantlane
