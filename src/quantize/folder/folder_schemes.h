// Which scheme each Linear of a folder gets: the lane's or that of an override, in groups that its
// width allows, the same for all that engines load as one.
#pragma once
#include <optional>
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

// How the inputs of an item that keeps its codes are rounded in the source, static scale included,
// in the form of the item's scheme. nullopt where the scheme has another form, and where weights
// were edited: the inputs are then others, also of Linears whose own weights are as they were.
std::optional<ActivationScheme> kept_input(const QuantizeJob& job, const FolderItem& item);

// After the Linears that keep their codes are chosen: static scales of inputs that come with codes
// are stored in float32 where bf16 does not hold them and the dialect can; with a notice.
void fit_input_scales(const QuantizeJob& job, std::vector<FolderItem>& items,
                      std::vector<std::string>& notices);

}  // namespace quantlane
