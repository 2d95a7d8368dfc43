// The scales that a Linear has as a whole, beyond those of its groups: of its weights (one per
// tensor, or NVFP4's over the scales of the groups) and, from calibration, of its inputs.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/statistics.h"
#include "containers/dialects/dialect.h"
#include "core/threads.h"
#include "model/weight.h"
#include "quantlane/result.h"

namespace quantlane {

// The static scale of inputs with these statistics under `scheme` (calibrated()): for FP8 and INT8
// the one with the least error on the magnitudes seen, for NVFP4 from the largest magnitude. 0
// where the statistics lack what it takes.
float input_scale_for(const ActivationScheme& scheme, const InputStatistics& inputs);

class WeightScales {
 public:
  // `searched`: by the least error, weighted by `statistics` (may be null), not from the largest
  // value alone. What is passed by reference must outlive this object.
  WeightScales(bool searched, const Statistics* statistics, ThreadPool& pool);
  // All Linears are added before the first scale is asked for; those that engines fuse
  // (model/fused_linears.h) have one scheme, and get one scale: vLLM takes the largest and leaves
  // the rest as it is.
  void add(std::string_view module, const Weight& weight, const Scheme& scheme);
  // As tensor_scale_for(); 0 where the scheme has none. The same for all that are fused.
  float of(std::string_view module);

 private:
  struct Shard {
    std::string module;
    const Weight* weight;
  };
  struct Fused {
    Scheme scheme;
    std::vector<Shard> shards;
  };
  [[nodiscard]] float largest(const std::vector<Shard>& shards) const;
  [[nodiscard]] float search(const Fused& fused, float amax) const;

  bool searched_;
  const Statistics* statistics_;
  ThreadPool& pool_;
  std::map<std::string, Fused> fused_;
  std::map<std::string, float> found_;
};

}  // namespace quantlane
