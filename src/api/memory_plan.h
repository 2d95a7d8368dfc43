// How a job keeps within a limit of resident memory: what it holds at one time is added up before
// any work, and what does not fit lies on disk or is read again.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "calibrate/collect.h"
#include "calibrate/dataset.h"
#include "model/checkpoint.h"
#include "quantize/lanes/lane.h"
#include "quantlane/result.h"
#include "runtime/layer_walk.h"

namespace quantlane {

struct MemoryRequest {
  std::string job;                  // "quantizing to fp8", for the refusal
  std::string limit = "available";  // as the user spelled it; "available": what the machine has
  std::filesystem::path folder;     // for hidden states, should they go to disk
  int threads = 1;
  bool passes = true;  // runs the model over the text as it is: for statistics, transforms, caches
  HeadRows head_rows = HeadRows::kLastQuarter;  // whose logits these passes make
};

struct MemoryPlan {
  std::uint64_t limit = 0;         // bytes
  std::uint64_t least = 0;         // bytes that the job cannot do without
  std::uint64_t sample_bytes = 0;  // for samples of activations at one time
  // For a file of hidden states, which the walk is to be given; 0: they stay in memory.
  std::uint64_t spill_bytes = 0;
  std::filesystem::path spill_folder;
  WalkMemory walk;
  std::string notice;  // that hidden states go to disk, or memory may be too small; else empty
};

// Bytes of a limit as the user spelled it; kUsage where it is none.
Result<std::uint64_t> memory_limit(const std::string& spelled);

// Of quantizing `source` to `lane`, calibrated on `chunks` (none: without calibration); of a lane
// without a name: of the passes alone. `least` may exceed `limit` (bytes).
MemoryPlan account_memory(const MemoryRequest& request, std::uint64_t limit,
                          const Checkpoint& source, const Lane& lane, const TokenChunks& chunks);
// The same for the limit of the request. kResourceLimit where even the least exceeds the user's
// limit, with the least limit that works.
Result<MemoryPlan> plan_memory(const MemoryRequest& request, const Checkpoint& source,
                               const Lane& lane, const TokenChunks& chunks);
// That refusal. `advice`: what needs less.
Error too_little_memory(const MemoryRequest& request, std::uint64_t least, const Checkpoint& source,
                        std::string_view advice);

// Of a command that has `threads` and reads `graph` (may be null), before it does anything.
std::uint64_t program_bytes(int threads, const Graph* graph);
// What a calibration keeps of the inputs of all Linears.
std::uint64_t statistics_bytes(const Graph& graph);

}  // namespace quantlane
