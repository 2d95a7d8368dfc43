// Ordered key-value metadata as GGUF types it; other containers use a subset.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace quantlane {

// One alternative per GGUF value type, so that a file is written back with the types it had.
using MetadataValue =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t,
                 std::int32_t, float, bool, std::string, std::uint64_t, std::int64_t, double,
                 std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                 std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                 std::vector<float>, std::vector<bool>, std::vector<std::string>,
                 std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;

class Metadata {
 public:
  using Entry = std::pair<std::string, MetadataValue>;
  Metadata() = default;
  // Takes `entries` as they are; the caller has made sure that no key stands twice.
  explicit Metadata(std::vector<Entry> entries) : entries_(std::move(entries)) {}
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] const MetadataValue* find(std::string_view key) const;
  // Adds or replaces, keeping the position of an existing key.
  void set(std::string key, MetadataValue value);
  void erase(std::string_view key);

  // Typed reads; any integer or float alternative converts; nullopt when absent or another type.
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key) const;
  [[nodiscard]] std::optional<double> number(std::string_view key) const;
  [[nodiscard]] std::optional<bool> boolean(std::string_view key) const;
  [[nodiscard]] const std::string* string(std::string_view key) const;
  [[nodiscard]] const std::vector<std::string>* strings(std::string_view key) const;
  // Integer arrays of any width, widened; nullopt when absent or not integers.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> integers(std::string_view key) const;
  [[nodiscard]] const std::vector<float>* floats(std::string_view key) const;

 private:
  std::vector<Entry> entries_;
};

}  // namespace quantlane
