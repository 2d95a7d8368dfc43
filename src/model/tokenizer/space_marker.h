// The character that stands for a space in the pieces of SentencePiece.
#pragma once
#include <string>
#include <string_view>

namespace quantlane {

inline constexpr std::string_view kSpaceMarker = "\xE2\x96\x81";  // U+2581

// `text` with the marker for each space.
inline std::string with_markers(std::string_view text) {
  std::string marked;
  marked.reserve(text.size() + text.size() / 2);
  for (const char byte : text) {
    if (byte == ' ') {
      marked += kSpaceMarker;
    } else {
      marked += byte;
    }
  }
  return marked;
}

}  // namespace quantlane
