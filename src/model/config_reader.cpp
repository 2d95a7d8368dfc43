#include "model/config_reader.h"

#include <cmath>
#include <type_traits>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace quantlane {

ConfigReader::ConfigReader(const Json& object, std::string origin, std::string prefix)
    : object_(&object), origin_(std::move(origin)), prefix_(std::move(prefix)) {}

const Json* ConfigReader::find(std::string_view key) const {
  const Json* member = object_->find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

std::optional<ConfigReader> ConfigReader::nested(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr || !member->is_object()) return std::nullopt;
  return ConfigReader(*member, origin_, prefix_ + std::string(key) + ".");
}

Error ConfigReader::error(ErrorCode code, std::string_view key, std::string expected) const {
  const Json* member = object_->find(key);
  Error error = make_error(code, "reading the model configuration")
                    .in(origin_)
                    .of(prefix_ + std::string(key))
                    .expects(std::move(expected));
  if (member == nullptr) {
    error.found = "no such key";
  } else if (member->is_number() && !std::isfinite(member->number())) {
    error.found = fmt::format("{}", member->number());  // JSON has no such number
  } else {
    error.found = member->dump();
    if (error.found.size() > 120) error.found = error.found.substr(0, 117) + "...";
  }
  return error;
}

Result<std::int64_t> ConfigReader::integer(std::string_view key, IntegerRange range,
                                           std::optional<std::int64_t> fallback) const {
  const std::string expected = fmt::format("an integer from {} to {}", range.min, range.max);
  const Json* member = find(key);
  if (member == nullptr) {
    if (fallback) return *fallback;
    return fail(error(ErrorCode::kNotFound, key, expected));
  }
  if (!member->is_integer() || member->integer() < range.min || member->integer() > range.max) {
    return fail(error(ErrorCode::kCorrupt, key, expected));
  }
  return member->integer();
}

Result<double> ConfigReader::number(std::string_view key, double min, double max,
                                    std::optional<double> fallback) const {
  const std::string expected = fmt::format("a number from {} to {}", min, max);
  const Json* member = find(key);
  if (member == nullptr) {
    if (fallback) return *fallback;
    return fail(error(ErrorCode::kNotFound, key, expected));
  }
  const double value = member->number(std::nan(""));
  if (!member->is_number() || !(value >= min && value <= max)) {
    return fail(error(ErrorCode::kCorrupt, key, expected));
  }
  return value;
}

Result<bool> ConfigReader::boolean(std::string_view key, bool fallback) const {
  const Json* member = find(key);
  if (member == nullptr) return fallback;
  if (!member->is_bool()) return fail(error(ErrorCode::kCorrupt, key, "true or false"));
  return member->boolean();
}

Result<std::string> ConfigReader::string(std::string_view key, std::string_view fallback) const {
  const Json* member = find(key);
  if (member == nullptr) return std::string(fallback);
  if (!member->is_string()) return fail(error(ErrorCode::kCorrupt, key, "a string"));
  return std::string(member->string());
}

namespace {

constexpr std::size_t kLargestArray = 65536;

template <class T>
Json scalar_json(const T& value) {
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    // Beyond int64 only a double can hold it; no bound of a configuration comes near.
    if (value > static_cast<std::uint64_t>(INT64_MAX)) return Json(static_cast<double>(value));
    return Json(static_cast<std::int64_t>(value));
  } else {
    return Json(value);
  }
}

Json value_json(const MetadataValue& value) {
  return std::visit(
      []<class T>(const T& item) -> Json {
        if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return {};
        } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
          return scalar_json(item);
        } else {
          if (item.size() > kLargestArray) return {};
          Json array = Json::array();
          for (std::size_t i = 0; i < item.size(); ++i) {
            array.push(scalar_json<typename T::value_type>(item[i]));
          }
          return array;
        }
      },
      value);
}

}  // namespace

Json metadata_object(const Metadata& metadata, std::string_view prefix) {
  Json object{Json::Object{}};
  for (const auto& [key, value] : metadata.entries()) {
    if (key.starts_with(prefix)) object.set(key.substr(prefix.size()), value_json(value));
  }
  return object;
}

}  // namespace quantlane
