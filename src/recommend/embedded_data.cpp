#include "recommend/embedded_data.h"

#include <string>

namespace quantlane {

Result<Json> embedded_recommend_json(std::string_view name) {
  for (const EmbeddedFile& file : embedded_recommend_data()) {
    if (file.name == name) return Json::parse(file.text(), std::string(name));
  }
  return fail(make_error(ErrorCode::kInternal, "looking for embedded data").of(std::string(name)));
}

}  // namespace quantlane
