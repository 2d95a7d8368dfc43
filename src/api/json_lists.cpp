#include "api/json_lists.h"

#include <utility>

namespace quantlane {

Json json_of(const std::vector<std::string>& texts) {
  Json array = Json::array();
  for (const std::string& text : texts) array.push(text);
  return array;
}

Json json_of(const std::vector<TensorSummary>& tensors) {
  Json array = Json::array();
  for (const TensorSummary& tensor : tensors) {
    Json shape = Json::array();
    for (const std::int64_t extent : tensor.shape) shape.push(extent);
    array.push(Json::object({{"name", tensor.name},
                             {"type", tensor.type},
                             {"shape", std::move(shape)},
                             {"size_bytes", tensor.size_bytes}}));
  }
  return array;
}

}  // namespace quantlane
