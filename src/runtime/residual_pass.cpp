#include "runtime/residual_pass.h"

#include <algorithm>

#include "core/check.h"

namespace quantlane {

ResidualPass::ResidualPass(const Runtime& runtime, std::int64_t sequences, std::int64_t chunk,
                           ThreadPool& pool)
    : rope_full_(RopeTable::full(runtime.config())),
      rope_windowed_(RopeTable::windowed(runtime.config())) {
  ModelConfig one_layer = runtime.config();
  one_layer.layer_count = 1;
  pass_.config = &runtime.config();
  pass_.pool = &pool;
  pass_.rope_full = &rope_full_;
  pass_.rope_windowed = &rope_windowed_;
  pass_.reserve(sequences * chunk);
  for (std::int64_t i = 0; i < sequences; ++i) caches_.emplace_back(one_layer, chunk);
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i < sequences; ++i) {
    pass_.pieces.push_back({.cache = &caches_[static_cast<std::size_t>(i)],
                            .first = i * chunk,
                            .tokens = chunk,
                            .start = 0});
    for (std::int64_t t = 0; t < chunk; ++t) positions.push_back(t);
  }
  rope_full_.select(positions);
  rope_windowed_.select(positions);
}

void ResidualPass::run(const BoundLayer& layer, std::vector<float>& rows) {
  QUANTLANE_CHECK(static_cast<std::int64_t>(rows.size()) ==
                  pass_.tokens * pass_.config->hidden_size);
  std::ranges::copy(rows, pass_.stream.begin());
  run_layer(layer, 0, pass_);
  std::copy_n(pass_.stream.begin(), rows.size(), rows.begin());
}

}  // namespace quantlane
