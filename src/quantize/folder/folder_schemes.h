// Which scheme each Linear of a folder gets: the lane's or that of an override, in groups that its
// width allows, the same for all that engines load as one.
#pragma once
#include <string>
#include <vector>

#include "quantize/folder/folder_plan.h"
#include "quantlane/result.h"

namespace quantlane {

// Are the codes of a quantized source kept where the lane's scheme holds them?
bool keeps_codes(const QuantizeJob& job);

// Sets FolderItem::scheme of quantized items; those of a "keep" override are quantized no more.
// kUsage for an override that concerns no Linear; kUnsupported where no group size fits, where a
// chosen one does not, and where fused Linears would differ.
Result<void> choose_schemes(const QuantizeJob& job, std::vector<FolderItem>& items,
                            std::vector<std::string>& notices);

}  // namespace quantlane
