// Which file of a folder each tensor goes to where a size is asked for.
#pragma once
#include <vector>

#include "quantize/folder/folder_plan.h"
#include "quantlane/result.h"

namespace quantlane {

// Sets FolderItem::shard in the order of the items so that no file exceeds job.split.shard_bytes,
// header included; what an item becomes stays together, and has a file of its own where it exceeds
// that alone. kUsage where that takes more files than are written at once.
Result<void> cut_by_size(const QuantizeJob& job, std::vector<FolderItem>& items);

}  // namespace quantlane
