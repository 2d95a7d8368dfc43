// Samples of what is too much to look at whole.
#pragma once
#include <cstdint>
#include <vector>

namespace quantlane {

// Indices of `most` of `total` things, the first among them and the rest at even distances; all of
// them where there are no more.
std::vector<std::int64_t> evenly_spaced(std::int64_t total, std::int64_t most);

}  // namespace quantlane
