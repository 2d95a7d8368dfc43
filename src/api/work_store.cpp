#include "api/work_store.h"

#include <utility>

#include <fcntl.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/output_path.h"

namespace quantlane {
namespace {
constexpr std::string_view kMark = "README";
}  // namespace

Result<void> WorkStore::claim(std::initializer_list<std::string_view> entries) const {
  const fs::path folder = place_of(folder_);
  const fs::path mark = folder / kMark;
  std::error_code code;
  if (fs::is_regular_file(mark, code)) return {};
  const auto refuse = [](const fs::path& path) {
    return fail(invalid("choosing the output folder of a comparison")
                    .in(path.string())
                    .expects("a new folder, or that of an earlier comparison")
                    .got("a file or folder that no comparison of this version wrote")
                    .advise("choose another --out, or move it away"));
  };
  // Another run may be about to write the mark, or was killed before it could.
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (!entry.path().filename().string().starts_with(kMark)) return refuse(folder);
  }
  for (const std::string_view entry : entries) {
    const fs::path path = folder.parent_path() / entry;
    if (fs::exists(fs::symlink_status(path, code))) return refuse(path);
  }
  return write_text(mark, "Finished work of quantlane compare; may be deleted.\n");
}

Result<void> WorkStore::lock() {
  if (lock_.valid()) return {};
  bool in_use = false;
  lock_ = lock_alone(
      Descriptor(::open(place_of(folder_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), in_use);
  if (!in_use) return {};
  return fail(invalid("choosing the output folder of a comparison")
                  .in(folder_.parent_path().string())
                  .expects("a folder that no other run is at work in")
                  .got("one that a running process works with")
                  .advise("wait for that run, or choose another --out"));
}

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
