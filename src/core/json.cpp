#include "core/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/file.h"

namespace quantlane {
namespace {

constexpr std::size_t kMaxDepth = 64;

// Builds a Json from the library's events; stops with a reason on duplicates and depth.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return put(Json()); }
  bool boolean(bool value) override { return put(Json(value)); }
  bool number_integer(number_integer_t value) override { return put(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    return value <= INT64_MAX ? put(Json(static_cast<std::int64_t>(value)))
                              : put(Json(static_cast<double>(value)));
  }
  bool number_float(number_float_t value, const string_t&) override { return put(Json(value)); }
  bool string(string_t& value) override { return put(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    Level& level = levels_.back();
    if (!level.seen.insert(value).second) {
      reason_ = "the key \"" + value + "\" twice in one object";
      return false;
    }
    level.key = std::move(value);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // Without the library's own number of the error.
    const std::string text = error.what();
    const auto number = text.find("] ");
    reason_ = number == std::string::npos ? text : text.substr(number + 2);
    position_ = position;
    return false;
  }

  Json take() { return std::move(root_); }
  [[nodiscard]] const std::string& reason() const { return reason_; }
  [[nodiscard]] std::size_t position() const { return position_; }

 private:
  struct Level {
    bool is_object;
    Json::Object members;
    Json::Array items;
    std::string key;
    std::unordered_set<std::string> seen;
  };

  bool open(bool is_object) {
    if (levels_.size() >= kMaxDepth) {
      reason_ = "nesting deeper than 64 levels";
      return false;
    }
    levels_.push_back({.is_object = is_object, .members = {}, .items = {}, .key = {}, .seen = {}});
    return true;
  }
  bool close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    return put(level.is_object ? Json(std::move(level.members)) : Json(std::move(level.items)));
  }
  bool put(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
    } else if (levels_.back().is_object) {
      levels_.back().members.emplace_back(std::move(levels_.back().key), std::move(value));
    } else {
      levels_.back().items.push_back(std::move(value));
    }
    return true;
  }

  std::vector<Level> levels_;
  Json root_;
  std::string reason_;
  std::size_t position_ = 0;
};

void dump_string(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[static_cast<unsigned char>(c) >> 4];
          out += kHex[static_cast<unsigned char>(c) & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void dump_double(double value, std::string& out) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  out += text;
  if (text.find_first_of(".en") == std::string_view::npos) out += ".0";
}

void new_line(int indent, int depth, std::string& out) {
  if (indent < 0) return;
  out += '\n';
  out.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

void dump_value(const Json& json, int indent, int depth, std::string& out) {
  if (json.is_null()) {
    out += "null";
  } else if (json.is_bool()) {
    out += json.boolean() ? "true" : "false";
  } else if (json.is_integer()) {
    out += std::to_string(json.integer());
  } else if (json.is_number()) {
    dump_double(json.number(), out);
  } else if (json.is_string()) {
    dump_string(json.string(), out);
  } else if (json.is_array()) {
    const bool flat = std::ranges::none_of(
        json.items(), [](const Json& item) { return item.is_array() || item.is_object(); });
    out += '[';
    bool first = true;
    for (const Json& item : json.items()) {
      if (!first) out += flat && indent >= 0 ? ", " : ",";
      first = false;
      if (!flat) new_line(indent, depth + 1, out);
      dump_value(item, indent, depth + 1, out);
    }
    if (!flat && !first) new_line(indent, depth, out);
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [key, value] : json.members()) {
      if (!first) out += ',';
      first = false;
      new_line(indent, depth + 1, out);
      dump_string(key, out);
      out += indent >= 0 ? ": " : ":";
      dump_value(value, indent, depth + 1, out);
    }
    if (!first) new_line(indent, depth, out);
    out += '}';
  }
}

}  // namespace

Result<Json> Json::parse(std::string_view text, const std::string& origin) {
  QUANTLANE_TRY_VOID(check_utf8(text, origin));
  Builder builder;
  if (!nlohmann::json::sax_parse(text, &builder)) {
    return fail(corrupt("parsing JSON")
                    .in(origin)
                    .at(builder.position())
                    .expects("valid JSON")
                    .got(builder.reason()));
  }
  return builder.take();
}

bool Json::boolean(bool fallback) const {
  const auto* value = std::get_if<bool>(&value_);
  return value != nullptr ? *value : fallback;
}
std::int64_t Json::integer(std::int64_t fallback) const {
  const auto* value = std::get_if<std::int64_t>(&value_);
  return value != nullptr ? *value : fallback;
}
double Json::number(double fallback) const {
  if (const auto* whole = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*whole);
  const auto* value = std::get_if<double>(&value_);
  return value != nullptr ? *value : fallback;
}
std::string_view Json::string(std::string_view fallback) const {
  const auto* value = std::get_if<std::string>(&value_);
  return value != nullptr ? std::string_view(*value) : fallback;
}
const Json::Array& Json::items() const {
  static const Array empty;
  const auto* value = std::get_if<Array>(&value_);
  return value != nullptr ? *value : empty;
}
const Json::Object& Json::members() const {
  static const Object empty;
  const auto* value = std::get_if<Object>(&value_);
  return value != nullptr ? *value : empty;
}
const Json* Json::find(std::string_view key) const {
  for (const auto& [name, value] : members()) {
    if (name == key) return &value;
  }
  return nullptr;
}
const Json& Json::operator[](std::string_view key) const {
  static const Json null;
  const Json* value = find(key);
  return value != nullptr ? *value : null;
}

Json& Json::set(std::string key, Json value) {
  if (!is_object()) value_ = Object{};
  auto& members = std::get<Object>(value_);
  const auto it = std::ranges::find(members, key, &Member::first);
  if (it != members.end()) {
    it->second = std::move(value);
  } else {
    members.emplace_back(std::move(key), std::move(value));
  }
  return *this;
}
void Json::erase(std::string_view key) {
  if (auto* members = std::get_if<Object>(&value_)) {
    std::erase_if(*members, [key](const Member& member) { return member.first == key; });
  }
}
Json& Json::push(Json value) {
  if (!is_array()) value_ = Array{};
  std::get<Array>(value_).push_back(std::move(value));
  return *this;
}

std::string Json::dump(int indent) const {
  std::string out;
  dump_value(*this, indent, 0, out);
  return out;
}

}  // namespace quantlane
