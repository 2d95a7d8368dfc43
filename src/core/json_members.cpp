#include "core/json_members.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace quantlane {

// Long values would hide the rest of the message.
std::string excerpt(std::string text) {
  constexpr std::size_t kLongest = 120;
  if (text.size() <= kLongest) return text;
  std::size_t end = kLongest;
  // Not inside a character of UTF-8.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

JsonMembers::JsonMembers(const Json& json, std::string attempted, std::string origin,
                         std::string path)
    : json_(&json),
      attempted_(std::move(attempted)),
      origin_(std::move(origin)),
      path_(std::move(path)) {}

Result<JsonMembers> JsonMembers::of(const Json& json, std::string attempted, std::string origin,
                                    std::string path) {
  if (!json.is_object() && !json.is_null()) {
    return fail(corrupt(std::move(attempted))
                    .in(std::move(origin))
                    .of(std::move(path))
                    .expects("an object")
                    .got(excerpt(json.dump())));
  }
  return JsonMembers(json, std::move(attempted), std::move(origin), std::move(path));
}

std::string JsonMembers::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

Error JsonMembers::wrong(std::string_view key) const {
  const Json* value = json_->find(key);
  return corrupt(attempted_)
      .in(origin_)
      .of(path_of(key))
      .got(value == nullptr ? "no such key" : excerpt(value->dump()));
}

Error JsonMembers::refused(std::string_view key) const {
  Error error = wrong(key);
  error.code = ErrorCode::kUnsupported;
  error.hint = "correct the value; if the tool that wrote it meant it, this version cannot read it";
  return error;
}

Result<void> JsonMembers::check(std::span<const JsonKey> keys) const {
  for (const JsonKey& key : keys) {
    const bool holds = has(key.name) ? key.kind->holds((*json_)[key.name]) : !key.required;
    if (!holds) return fail(wrong(key.name).expects(std::string(key.kind->expected)));
  }
  return {};
}

std::vector<std::string> JsonMembers::others(std::span<const JsonKey> keys) const {
  std::vector<std::string> names;
  for (const auto& [name, value] : json_->members()) {
    if (std::ranges::find(keys, name, &JsonKey::name) == keys.end()) names.push_back(name);
  }
  return names;
}

std::unexpected<Error> JsonMembers::of_another_type(std::string_view key,
                                                    std::string_view type) const {
  return fail(wrong(key)
                  .expects(std::string(type))
                  .advise("write " + std::string(type) +
                          " there, or remove the key if its default is meant"));
}

Result<bool> JsonMembers::boolean(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& value = (*json_)[key];
  if (!value.is_bool()) return of_another_type(key, "true or false");
  return value.boolean();
}

Result<std::int64_t> JsonMembers::integer(std::string_view key, std::int64_t fallback) const {
  if (!has(key)) return fallback;
  const Json& value = (*json_)[key];
  if (!value.is_integer()) return of_another_type(key, "an integer");
  return value.integer();
}

Result<std::int64_t> JsonMembers::integer_in(std::string_view key, std::int64_t fallback,
                                             std::int64_t low, std::int64_t high) const {
  QUANTLANE_TRY(const std::int64_t value, integer(key, fallback));
  if (has(key) && (value < low || value > high)) {
    return fail(refused(key).expects("an integer from " + std::to_string(low) + " to " +
                                     std::to_string(high)));
  }
  return value;
}

Result<double> JsonMembers::number(std::string_view key, double fallback) const {
  if (!has(key)) return fallback;
  const Json& value = (*json_)[key];
  if (!value.is_number()) return of_another_type(key, "a number");
  return value.number();
}

Result<std::string_view> JsonMembers::string(std::string_view key,
                                             std::string_view fallback) const {
  if (!has(key)) return fallback;
  const Json& value = (*json_)[key];
  if (!value.is_string()) return of_another_type(key, "a string");
  return value.string();
}

Result<std::string_view> JsonMembers::word(std::string_view key, std::string_view fallback,
                                           std::span<const std::string_view> words) const {
  QUANTLANE_TRY(const std::string_view value, string(key, fallback));
  if (has(key) && std::ranges::find(words, value) == words.end()) {
    std::string known;
    for (const std::string_view word : words) {
      known += (known.empty() ? "\"" : ", \"") + std::string(word) + "\"";
    }
    return fail(refused(key).expects(words.size() > 1 ? "one of " + known : known));
  }
  return value;
}

Result<std::vector<std::string_view>> JsonMembers::strings(std::string_view key) const {
  std::vector<std::string_view> list;
  if (!has(key)) return list;
  const Json& value = (*json_)[key];
  if (!value.is_array()) return of_another_type(key, "an array of strings");
  for (const Json& item : value.items()) {
    if (!item.is_string()) {
      return fail(
          wrong(key).expects("an array of strings").got("the item " + excerpt(item.dump())));
    }
    list.push_back(item.string());
  }
  return list;
}

Result<JsonMembers> JsonMembers::object(std::string_view key) const {
  const Json& value = (*json_)[key];
  if (has(key) && !value.is_object()) return of_another_type(key, "an object");
  return JsonMembers(value, attempted_, origin_, path_of(key));
}

}  // namespace quantlane
