// Parts of a model of unknown architecture that stay as they are unless they are asked for: vision
// and audio towers with what joins them to the text model, and layers that guess tokens ahead.
// Engines build most of these without quantization, and text says nothing about the first.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quantize/folder/folder_plan.h"
#include "quantlane/result.h"

namespace quantlane {

// What the part is called in a notice ("vision and audio towers"), by the name of a module; nullopt
// for the text model. `layers`: of the text model (num_hidden_layers); those beyond guess ahead; 0
// = not known.
std::optional<std::string_view> plain_part_of(std::string_view module, std::int64_t layers);

// Items of such parts are quantized no more, with a notice that says so, but where an override of
// the lane finds matrices of such parts alone. Errors: an override that is no pattern.
Result<void> keep_plain_parts(const QuantizeJob& job, std::vector<FolderItem>& items,
                              std::vector<std::string>& notices);

}  // namespace quantlane
