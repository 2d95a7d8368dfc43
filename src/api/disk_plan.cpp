#include "api/disk_plan.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "api/importances.h"
#include "core/check.h"
#include "core/disk_room.h"
#include "core/file.h"
#include "core/placing.h"

namespace quantlane {
namespace {

// Of the tensors. Types that are chosen for a size are not known yet: half of it, as the largest
// types may not fill it.
std::uint64_t artefact_bytes(const QuantizeJob& job, const ArtefactPlan& plan) {
  std::uint64_t bytes = 0;
  for (const PlannedTensor& tensor : plan.tensors) bytes += tensor.size_bytes();
  const SizeTarget& size = job.lane.size;
  if (!size.any()) return bytes;
  const double most = size.bytes > 0 ? static_cast<double>(size.bytes)
                                     : size.bits_per_weight / 8 * static_cast<double>(plan.values);
  return std::min(bytes, static_cast<std::uint64_t>(most / 2));
}

// About what MatrixJournal will write, and no more than that.
std::uint64_t journal_bytes(const QuantizeJob& job, const ArtefactPlan& plan) {
  if (!wants_feedback(job.lane) || job.source.graph() == nullptr) return 0;
  std::uint64_t bytes = 0;
  for (const Parameter& p : job.source.graph()->parameters) {
    const auto found = plan.matrices.find(p.name);
    if (found == plan.matrices.end()) continue;
    const MatrixTarget& target = found->second;
    const std::int64_t row = target.block != nullptr ? target.block->row_bytes(p.cols)
                                                     : p.cols * target.scheme->weight.bits / 8;
    bytes += static_cast<std::uint64_t>(p.rows * row);
  }
  const std::uint64_t there = size_on_disk(MatrixJournal::folder_of(job.out));
  return bytes - std::min(bytes, there);
}

}  // namespace

Result<void> reserve_disk(const QuantizeJob& job, const ArtefactPlan& plan, MemoryPlan& memory) {
  if (memory.spill_bytes > 0) {
    QUANTLANE_TRY(ScratchFile file, ScratchFile::reserve(memory.spill_folder, memory.spill_bytes));
    memory.walk.spill = std::make_shared<ScratchFile>(std::move(file));
  }
  remove_leftovers(job.out);
  const std::uint64_t artefact = artefact_bytes(job, plan);
  const std::uint64_t journal = std::min(artefact, journal_bytes(job, plan));
  return check_room("quantizing to " + job.lane.name, job.out, artefact + journal,
                    plan.files == 1 ? artefact : 0);
}

}  // namespace quantlane
