// Typed reads of config.json and GGUF metadata: every error names the file, the key, what was
// expected and what was found.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "containers/metadata.h"
#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

// Inclusive bounds of an integer.
struct IntegerRange {
  std::int64_t min;
  std::int64_t max;
};

// Reads members of one JSON object. A null member counts as absent. Cheap to copy; the object must
// outlive the reader.
class ConfigReader {
 public:
  // `origin`: the file, for errors; `prefix` is put before keys in errors ("rope_scaling.").
  ConfigReader(const Json& object, std::string origin, std::string prefix = {});

  // The member, nullptr when absent or null.
  [[nodiscard]] const Json* find(std::string_view key) const;
  // A reader of a nested object; nullopt when it is absent or no object.
  [[nodiscard]] std::optional<ConfigReader> nested(std::string_view key) const;

  // kCorrupt when the member has another type or is out of range. Absent: `fallback`, and without
  // one kNotFound.
  Result<std::int64_t> integer(std::string_view key, IntegerRange range,
                               std::optional<std::int64_t> fallback = std::nullopt) const;
  // A finite number within [min, max].
  Result<double> number(std::string_view key, double min, double max,
                        std::optional<double> fallback = std::nullopt) const;
  Result<bool> boolean(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key, std::string_view fallback) const;

  // An error about the member `key`: file, full key and found value are filled in.
  [[nodiscard]] Error error(ErrorCode code, std::string_view key, std::string expected) const;
  [[nodiscard]] const std::string& origin() const { return origin_; }

 private:
  const Json* object_;
  std::string origin_;
  std::string prefix_;
};

// The entries of `metadata` whose key starts with `prefix` ("llama."), as an object with the rest
// of the key as member name: scalars and arrays of up to 65536 integers, booleans or floats. Longer
// arrays and arrays of strings become null.
Json metadata_object(const Metadata& metadata, std::string_view prefix);

}  // namespace quantlane
