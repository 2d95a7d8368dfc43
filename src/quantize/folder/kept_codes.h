// Which Linears of a quantized source keep their codes, and what comes with those: the scales of
// their inputs.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "quantize/folder/folder_plan.h"
#include "quantlane/result.h"

namespace quantlane {

// Which Linears keep their codes: sets FolderItem::moves. Those that the source keeps plain beside
// them stay plain. kUnsupported where others would get new ones unasked.
Result<void> choose_moves(const QuantizeJob& job, std::vector<FolderItem>& items,
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
