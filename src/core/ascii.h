// Names that users type in either case.
#pragma once
#include <string>
#include <string_view>

namespace quantlane {

// With 'a' to 'z' for 'A' to 'Z'; other bytes as they are.
inline std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace quantlane
