// The residual stream of a few short sequences through single layers, whatever matrices these have.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/threads.h"
#include "runtime/layer.h"
#include "runtime/runtime.h"

namespace quantlane {

// Memory: the buffers of one pass of all tokens and the keys and values of one layer.
class ResidualPass {
 public:
  // `sequences` of `chunk` tokens each, all from position 0. `runtime` and `pool` must outlive
  // this.
  ResidualPass(const Runtime& runtime, std::int64_t sequences, std::int64_t chunk,
               ThreadPool& pool);
  // rows [sequences * chunk, D] before a layer become those behind it.
  void run(const BoundLayer& layer, std::vector<float>& rows);

 private:
  Pass pass_;
  RopeTable rope_full_;
  RopeTable rope_windowed_;
  std::vector<KvCache> caches_;
};

}  // namespace quantlane
