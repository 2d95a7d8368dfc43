// Any bytes as config.json: JSON that is written back as it was, and hyper-parameters that every
// architecture accepts or refuses with an error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/check.h"
#include "core/json.h"
#include "model/graph.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = quantlane::Json::parse(text, "input");
  if (!json) {
    QUANTLANE_CHECK(json.error().file == "input" && !json.error().message().empty());
    return 0;
  }
  const std::string written = json->dump();
  const auto again = quantlane::Json::parse(written, "written");
  QUANTLANE_CHECK(again.has_value() && again->dump() == written);
  for (const quantlane::Architecture* architecture : quantlane::architectures()) {
    const auto config = architecture->from_hugging_face(*json, "input");
    if (!config) QUANTLANE_CHECK(!config.error().message().empty());
  }
  return 0;
}
