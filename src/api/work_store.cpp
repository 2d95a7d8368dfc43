#include "api/work_store.h"

#include <utility>

#include "core/file.h"
#include "core/hash.h"

namespace quantlane {

std::optional<Json> WorkStore::find(std::string_view name, const std::string& key) const {
  if (fresh_) return std::nullopt;
  const fs::path file = folder_ / (std::string(name) + ".json");
  const auto text = read_text(file);
  if (!text) return std::nullopt;
  auto record = Json::parse(*text, file.string());
  if (!record || (*record)["key"].string() != key) return std::nullopt;
  return (*record)["value"];
}

Result<void> WorkStore::put(std::string_view name, const std::string& key, Json value) const {
  const Json record = Json::object({{"key", key}, {"value", std::move(value)}});
  return write_text(folder_ / (std::string(name) + ".json"), record.dump(2) + "\n");
}

std::string make_key(std::initializer_list<std::string_view> parts) {
  ContentHash hash;
  for (const std::string_view part : parts) {
    hash.add(std::to_string(part.size()) + ":");
    hash.add(part);
  }
  return hash.hex();
}

std::string file_name_of(std::string_view lane) {
  std::string name(lane);
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '.';
    if (!plain) c = '-';
  }
  return name;
}

}  // namespace quantlane
