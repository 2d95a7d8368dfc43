// A checkpoint under an adapter, for the commands that take --adapter.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "core/threads.h"
#include "model/adapters/adapter.h"
#include "quantlane/progress.h"
#include "quantlane/quantize.h"
#include "quantlane/result.h"

namespace quantlane {

// Reads the adapter for `base` and binds it; notices go to `progress`.
Result<BoundAdapter> adapt(const std::shared_ptr<const Checkpoint>& base,
                           const std::filesystem::path& adapter, ThreadPool& pool,
                           Progress& progress);

// The same for quantize, which refuses calibration of the base and unknown architectures.
Result<std::shared_ptr<const Checkpoint>> adapted_source(
    const QuantizeOptions& options, const std::shared_ptr<const Checkpoint>& base,
    Progress& progress);

// kInvalidArgument where calibration of the base would be used for the adapted model: the ranges of
// its activations are others. `option`: "--statistics".
Result<void> refuse_stale_calibration(const std::filesystem::path& file,
                                      const std::filesystem::path& adapter,
                                      const std::string& option);

}  // namespace quantlane
