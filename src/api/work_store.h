// Finished pieces of a comparison on disk, found again by the content they depend on.
#pragma once
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "core/descriptor.h"
#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

// Records are JSON files "<name>.json" in one folder, each with the key it was made under.
class WorkStore {
 public:
  // `fresh`: earlier records are not found.
  WorkStore(std::filesystem::path folder, bool fresh) : folder_(std::move(folder)), fresh_(fresh) {}
  // Makes sure that folder and what is written beside it (`entries` of its parent) are of earlier
  // comparisons, or not there. kInvalidArgument names what stands in the way; then nothing changed.
  Result<void> claim(std::initializer_list<std::string_view> entries) const;
  // Holds the folder, if it is there, for this process alone as long as the store lives;
  // kInvalidArgument where another process does.
  Result<void> lock();
  // The record when it exists, is intact and has this key.
  [[nodiscard]] std::optional<Json> find(std::string_view name, const std::string& key) const;
  Result<void> put(std::string_view name, const std::string& key, Json value) const;
  // A path for larger files of this store.
  [[nodiscard]] std::filesystem::path path(std::string_view name) const { return folder_ / name; }
  [[nodiscard]] bool fresh() const { return fresh_; }

 private:
  std::filesystem::path folder_;
  bool fresh_;
  Descriptor lock_;
};

// A key from parts, independent of their lengths' ambiguity.
std::string make_key(std::initializer_list<std::string_view> parts);
// A name that is safe as a file name on every system: "gguf:q4_k_m" -> "gguf-q4_k_m".
std::string file_name_of(std::string_view lane);

}  // namespace quantlane
