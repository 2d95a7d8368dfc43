// The files of data/gates and data/hardware inside the program.
#pragma once
#include <span>
#include <string_view>

#include "core/embedded.h"
#include "core/json.h"

namespace quantlane {

std::span<const EmbeddedFile> embedded_recommend_data();
// Parses one of them; kInternal when the program was built without it.
Result<Json> embedded_recommend_json(std::string_view name);

}  // namespace quantlane
