// Lists that several commands have in their JSON.
#pragma once
#include <string>
#include <vector>

#include "core/json.h"
#include "quantlane/checkpoint.h"

namespace quantlane {

Json json_of(const std::vector<std::string>& texts);
Json json_of(const std::vector<TensorSummary>& tensors);

}  // namespace quantlane
