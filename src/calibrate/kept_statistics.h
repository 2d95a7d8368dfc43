// The statistics of a calibration pass on disk while it is under way: a job that was killed goes on
// from them.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "calibrate/collect.h"
#include "calibrate/statistics.h"
#include "model/checkpoint.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

// One file beside the output, "OUT.calibration". It is written after whole batches, no more often
// than every `every`, so short passes leave none. What another model, text, processor or version
// has left there is said and replaced; a file that is none of ours is never touched.
class KeptStatistics {
 public:
  // `chunks` and `progress` must outlive the pass.
  KeptStatistics(const std::filesystem::path& out, std::shared_ptr<const Checkpoint> checkpoint,
                 const TokenChunks& chunks, HeadRows head_rows, Progress& progress,
                 std::chrono::milliseconds every = std::chrono::seconds(20));

  struct Found {
    Statistics statistics;
    std::int64_t chunks = 0;  // that they are of: the first ones
  };
  // What an earlier run has left for this pass; nothing where there is none.
  Result<Found> find();
  // `statistics` are of the first `chunks` chunks: written if the time has come. Where that fails
  // the pass goes on without, and a notice says so.
  void keep(const Statistics& statistics, std::int64_t chunks);
  // The same at once.
  void keep_now(const Statistics& statistics, std::int64_t chunks);
  // The output is there.
  void remove() const;

 private:
  // Everything that the sums depend on.
  Result<std::string> key();
  Result<void> write(const Statistics& statistics, std::int64_t chunks);

  std::filesystem::path file_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  const TokenChunks& chunks_;
  HeadRows head_rows_;
  Progress& progress_;
  std::chrono::milliseconds every_;
  std::chrono::steady_clock::time_point begun_at_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point kept_at_ = begun_at_;
  std::string key_;
  bool ours_ = true;    // nothing else is at the file's place
  bool there_ = false;  // the file, found or written by this pass
};

}  // namespace quantlane
