#include "calibrate/layer_name.h"

#include <charconv>

namespace quantlane {

std::optional<LayerName> layer_in(std::string_view name) {
  constexpr std::string_view kBlock = "blk.";
  constexpr std::string_view kLayers = "layers.";
  std::size_t begin = kBlock.size();
  if (!name.starts_with(kBlock)) {
    begin = name.find(kLayers);
    if (begin == std::string_view::npos || (begin > 0 && name[begin - 1] != '.'))
      return std::nullopt;
    begin += kLayers.size();
  }
  std::int64_t layer = 0;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + begin, end, layer);
  if (read.ec != std::errc() || layer < 0 || read.ptr == end || *read.ptr != '.')
    return std::nullopt;
  return LayerName{.layer = layer,
                   .rest = name.substr(static_cast<std::size_t>(read.ptr - name.data()) + 1)};
}

}  // namespace quantlane
