// The members of a JSON object read strictly: what is absent has its default, what is wrong is
// said.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

// A value as errors show it: cut where it is long, between characters.
std::string excerpt(std::string text);

// What a key may hold besides null.
struct JsonKind {
  std::string_view expected;  // for errors: "an integer"
  bool (*holds)(const Json& value);
};
// A row of the table of all keys that a format has.
struct JsonKey {
  std::string_view name;
  const JsonKind* kind;
  bool required = false;
};

// A view of one object, which outlives it. Every reader gives `fallback` when the key is absent or
// null (tools write null for "not set"); a value of another type is kCorrupt, one outside its range
// or vocabulary kUnsupported. Errors name the file, the path of the key, what is expected and what
// was found.
class JsonMembers {
 public:
  // `json`: an object, or null for an empty one; anything else is kCorrupt. `attempted` ("reading
  // the GPTQ configuration") and `origin` (a file) are for errors; `path` is where the object is in
  // the file, "" for the outermost.
  static Result<JsonMembers> of(const Json& json, std::string attempted, std::string origin,
                                std::string path = {});

  [[nodiscard]] Result<bool> boolean(std::string_view key, bool fallback) const;
  [[nodiscard]] Result<std::int64_t> integer(std::string_view key, std::int64_t fallback) const;
  // low <= value <= high.
  [[nodiscard]] Result<std::int64_t> integer_in(std::string_view key, std::int64_t fallback,
                                                std::int64_t low, std::int64_t high) const;
  [[nodiscard]] Result<double> number(std::string_view key, double fallback) const;
  [[nodiscard]] Result<std::string_view> string(std::string_view key,
                                                std::string_view fallback) const;
  // One of `words`.
  [[nodiscard]] Result<std::string_view> word(std::string_view key, std::string_view fallback,
                                              std::span<const std::string_view> words) const;
  [[nodiscard]] Result<std::string_view> word(std::string_view key, std::string_view fallback,
                                              std::initializer_list<std::string_view> words) const {
    return word(key, fallback, std::span(words.begin(), words.size()));
  }
  // An array of strings, empty when absent.
  [[nodiscard]] Result<std::vector<std::string_view>> strings(std::string_view key) const;
  // An object, empty when absent.
  [[nodiscard]] Result<JsonMembers> object(std::string_view key) const;

  // kCorrupt with the first of `keys` that holds something else, or is required and not there.
  [[nodiscard]] Result<void> check(std::span<const JsonKey> keys) const;
  // The names that are none of `keys`, in their order.
  [[nodiscard]] std::vector<std::string> others(std::span<const JsonKey> keys) const;

  // Is the key there, with anything but null?
  [[nodiscard]] bool has(std::string_view key) const { return !(*json_)[key].is_null(); }
  [[nodiscard]] const Json& json() const { return *json_; }
  // "config_groups.group_0.weights.num_bits"
  [[nodiscard]] std::string path_of(std::string_view key) const;
  // Errors about a key, with file, path and what was found: of a value that contradicts the file's
  // own format, and of one that is not read.
  [[nodiscard]] Error wrong(std::string_view key) const;
  [[nodiscard]] Error refused(std::string_view key) const;

 private:
  JsonMembers(const Json& json, std::string attempted, std::string origin, std::string path);
  [[nodiscard]] std::unexpected<Error> of_another_type(std::string_view key,
                                                       std::string_view type) const;

  const Json* json_;
  std::string attempted_;
  std::string origin_;
  std::string path_;
};

}  // namespace quantlane
