// The character that stands for a space in the pieces of SentencePiece.
#pragma once
#include <string_view>

namespace quantlane {

inline constexpr std::string_view kSpaceMarker = "\xE2\x96\x81";  // U+2581

}  // namespace quantlane
