// Files that cmake/embed.cmake puts into the binary.
#pragma once
#include <span>
#include <string_view>

namespace quantlane {

struct EmbeddedFile {
  std::string_view name;  // path relative to the project root: "data/hardware/devices.json"
  struct Range {
    const char* begin;
    const char* end;
  } range;
  [[nodiscard]] std::string_view text() const {
    return {range.begin, static_cast<std::size_t>(range.end - range.begin)};
  }
};

}  // namespace quantlane
