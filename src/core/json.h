// JSON values behind a narrow interface: the parsing library is visible in json.cpp only.
#pragma once
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "quantlane/result.h"

namespace quantlane {

// An immutable-by-convention JSON value. Objects keep the order of their keys.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;  // null; the others convert: NOLINTBEGIN(google-explicit-constructor)
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Json(T value) : value_(static_cast<std::int64_t>(value)) {}
  Json(double value) : value_(value) {}
  Json(float value) : value_(static_cast<double>(value)) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}  // NOLINTEND(google-explicit-constructor)
  static Json object(std::initializer_list<Member> members) { return Json(Object(members)); }
  static Json array() { return Json(Array{}); }

  // Parses one document. Refused: duplicate keys, depth above 64, trailing text, invalid UTF-8.
  // Integers outside int64 become doubles. `origin` names the source in errors.
  static Result<Json> parse(std::string_view text, const std::string& origin);

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  [[nodiscard]] bool is_bool() const { return std::holds_alternative<bool>(value_); }
  [[nodiscard]] bool is_integer() const { return std::holds_alternative<std::int64_t>(value_); }
  [[nodiscard]] bool is_number() const {
    return is_integer() || std::holds_alternative<double>(value_);
  }
  [[nodiscard]] bool is_string() const { return std::holds_alternative<std::string>(value_); }
  [[nodiscard]] bool is_array() const { return std::holds_alternative<Array>(value_); }
  [[nodiscard]] bool is_object() const { return std::holds_alternative<Object>(value_); }

  // Value or fallback when the type differs.
  [[nodiscard]] bool boolean(bool fallback = false) const;
  [[nodiscard]] std::int64_t integer(std::int64_t fallback = 0) const;
  [[nodiscard]] double number(double fallback = 0) const;
  [[nodiscard]] std::string_view string(std::string_view fallback = {}) const;
  [[nodiscard]] const Array& items() const;     // empty when not an array
  [[nodiscard]] const Object& members() const;  // empty when not an object
  // Member `key`, or a null value; linear in the number of members.
  [[nodiscard]] const Json& operator[](std::string_view key) const;
  [[nodiscard]] bool contains(std::string_view key) const { return find(key) != nullptr; }
  [[nodiscard]] const Json* find(std::string_view key) const;

  // Adds or replaces a member (turns null into an object).
  Json& set(std::string key, Json value);
  // Removes a member if present.
  void erase(std::string_view key);
  // Appends an element (turns null into an array).
  Json& push(Json value);

  // indent < 0: one line. NaN and infinities are written as null.
  [[nodiscard]] std::string dump(int indent = -1) const;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

}  // namespace quantlane
