// What the files of AutoAWQ share.
#pragma once
#include <array>
#include <string_view>

#include "containers/dialects/dialect.h"

namespace quantlane::awq {

constexpr std::string_view kName = "awq";
constexpr int kBits = 4;
// Row within eight of nibble i of a word.
constexpr std::array<int, 8> kRowOfNibble = {0, 2, 4, 6, 1, 3, 5, 7};

extern const DialectWriter kWriter;

}  // namespace quantlane::awq
