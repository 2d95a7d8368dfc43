#include "runtime/residual_pass.h"

#include <algorithm>

#include "core/check.h"
#include "runtime/side_by_side.h"

namespace quantlane {

ResidualPass::ResidualPass(const Runtime& runtime, std::int64_t sequences, std::int64_t chunk,
                           ThreadPool& pool)
    : rope_full_(RopeTable::full(runtime.config())),
      rope_windowed_(RopeTable::windowed(runtime.config())),
      caches_(one_layer_caches(runtime.config(), sequences, chunk)) {
  pass_.config = &runtime.config();
  pass_.pool = &pool;
  pass_.rope_full = &rope_full_;
  pass_.rope_windowed = &rope_windowed_;
  pass_.reserve(sequences * chunk);
  lay_side_by_side(pass_, caches_, chunk);
}

void ResidualPass::run(const BoundLayer& layer, std::vector<float>& rows) {
  QUANTLANE_CHECK(static_cast<std::int64_t>(rows.size()) ==
                  pass_.tokens * pass_.config->hidden_size);
  std::ranges::copy(rows, pass_.stream.begin());
  run_layer(layer, 0, pass_);
  std::copy_n(pass_.stream.begin(), rows.size(), rows.begin());
}

}  // namespace quantlane
