// Which file of a folder each tensor goes to: the one that it has in the source, or as a size says.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "quantize/folder/folder_plan.h"
#include "quantlane/result.h"

namespace quantlane {

// Which files of a source hold its parameters, in whatever form.
class SourceShards {
 public:
  explicit SourceShards(const Checkpoint& source);
  [[nodiscard]] std::uint32_t of(const Parameter& parameter) const;

 private:
  const Checkpoint& source_;
  std::map<std::string, std::uint32_t, std::less<>> of_modules_;
};
// Numbers the files of the items from 0 without gaps: nothing may have been left in some.
void close_gaps(std::vector<FolderItem>& items);

// Sets FolderItem::shard in the order of the items so that no file exceeds job.split.shard_bytes,
// header included; what an item becomes stays together, and has a file of its own where it exceeds
// that alone, with a notice. kUsage where that takes more files than are written at once.
Result<void> cut_by_size(const QuantizeJob& job, std::vector<FolderItem>& items,
                         std::vector<std::string>& notices);

}  // namespace quantlane
