#include "containers/metadata.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace quantlane {
namespace {

template <class T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
std::optional<std::int64_t> widen(T value) {
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
  }
  return static_cast<std::int64_t>(value);
}

// The value of a float that is a whole number within +-2^53, where doubles are exact.
std::optional<std::int64_t> whole(double value) {
  if (!(std::abs(value) <= 0x1p53) || value != std::floor(value)) return {};
  return static_cast<std::int64_t>(value);
}

}  // namespace

const MetadataValue* Metadata::find(std::string_view key) const {
  const auto it = std::ranges::find(entries_, key, &Entry::first);
  return it != entries_.end() ? &it->second : nullptr;
}

void Metadata::set(std::string key, MetadataValue value) {
  const auto it = std::ranges::find(entries_, key, &Entry::first);
  if (it != entries_.end()) {
    it->second = std::move(value);
  } else {
    entries_.emplace_back(std::move(key), std::move(value));
  }
}

void Metadata::erase(std::string_view key) {
  std::erase_if(entries_, [key](const Entry& entry) { return entry.first == key; });
}

std::optional<std::int64_t> Metadata::integer(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return {};
  return std::visit(
      []<class T>(const T& stored) -> std::optional<std::int64_t> {
        if constexpr (kIsInteger<T>) {
          return widen(stored);
        } else if constexpr (std::is_floating_point_v<T>) {
          return whole(static_cast<double>(stored));
        } else {
          return {};
        }
      },
      *value);
}

std::optional<double> Metadata::number(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return {};
  return std::visit(
      []<class T>(const T& stored) -> std::optional<double> {
        if constexpr (kIsInteger<T> || std::is_floating_point_v<T>) {
          return static_cast<double>(stored);
        } else {
          return {};
        }
      },
      *value);
}

std::optional<bool> Metadata::boolean(std::string_view key) const {
  const auto* value = std::get_if<bool>(find(key));
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

const std::string* Metadata::string(std::string_view key) const {
  return std::get_if<std::string>(find(key));
}

const std::vector<std::string>* Metadata::strings(std::string_view key) const {
  return std::get_if<std::vector<std::string>>(find(key));
}

std::optional<std::vector<std::int64_t>> Metadata::integers(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return {};
  return std::visit(
      []<class T>(const T& stored) -> std::optional<std::vector<std::int64_t>> {
        if constexpr (requires { typename T::value_type; }) {
          using Element = typename T::value_type;
          if constexpr (kIsInteger<Element> && !std::is_same_v<T, std::string>) {
            std::vector<std::int64_t> widened;
            widened.reserve(stored.size());
            for (const Element element : stored) {
              const auto wide = widen(element);
              if (!wide) return {};
              widened.push_back(*wide);
            }
            return widened;
          }
        }
        return {};
      },
      *value);
}

const std::vector<float>* Metadata::floats(std::string_view key) const {
  return std::get_if<std::vector<float>>(find(key));
}

}  // namespace quantlane
