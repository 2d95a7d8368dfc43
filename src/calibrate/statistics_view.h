// Files of statistics beside importance matrices: recognised, and looked at as one.
#pragma once
#include <filesystem>

#include "calibrate/imatrix.h"
#include "calibrate/statistics.h"

namespace quantlane {

inline constexpr const char* kStatisticsExtension = ".safetensors";

// Called so, or with tensors as Statistics::save() writes them.
bool holds_statistics(const std::filesystem::path& path);
// Second moments under the names of the Linears; experts of a layer stacked under one name without
// their number, as in importance matrices.
Imatrix view_as_imatrix(const Statistics& statistics);

}  // namespace quantlane
