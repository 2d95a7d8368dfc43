// Values, and the filters, tests and methods that templates call by name.
#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "core/json.h"
#include "model/chat/jinja.h"

namespace quantlane::jinja {
namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

Error unknown(std::string found) {
  return unsupported("rendering a conversation")
      .expects("filters, tests and methods of plain conversations")
      .got(std::move(found));
}

std::string stripped(const std::string& text, std::string_view characters, bool left, bool right) {
  const std::size_t begin = left ? text.find_first_not_of(characters) : 0;
  if (begin == std::string::npos) return "";
  const std::size_t end = right ? text.find_last_not_of(characters) + 1 : text.size();
  return text.substr(begin, end - begin);
}

Error too_long() {
  return make_error(ErrorCode::kResourceLimit, "rendering a conversation")
      .expects("at most 16 MiB of text")
      .got("more");
}

Result<Value> replaced(const std::string& text, const std::string& from, const std::string& to) {
  if (from.empty()) return Value(text);
  std::string result;
  std::size_t begin = 0;
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, begin)) {
    result += text.substr(begin, at - begin) + to;
    if (result.size() > kMaxText) return fail(too_long());
    begin = at + from.size();
  }
  return Value(result + text.substr(begin));
}

Result<Value> joined(const List& list, const std::string& separator) {
  std::string text;
  for (const Value& item : list) {
    if (&item != list.data()) text += separator;
    text += item.text();
    if (text.size() > kMaxText) return fail(too_long());
  }
  return Value(std::move(text));
}

std::string lowered(std::string text, bool upper) {
  std::ranges::transform(text, text.begin(), [upper](char c) {
    if (upper) return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

Value split(const std::string& text, const std::string& separator) {
  List parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = text.find(separator, begin);
    if (end == std::string::npos) break;
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + separator.size();
  }
  parts.emplace_back(text.substr(begin));
  return {std::move(parts)};
}

Value length_of(const Value& value) {
  if (const List* list = value.list()) return {static_cast<std::int64_t>(list->size())};
  if (const Map* map = value.map()) return {static_cast<std::int64_t>(map->size())};
  const std::string* text = value.string();
  if (text == nullptr) return {std::int64_t{0}};
  // Code points: bytes that do not continue one.
  return {static_cast<std::int64_t>(std::ranges::count_if(
      *text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }))};
}

// Items of a list whose attribute meets a test, or is true; or those where it is not.
Result<Value> selected(const std::vector<Value>& arguments, bool wanted) {
  const List* list = arguments[0].list();
  if (list == nullptr || arguments.size() < 2 || arguments[1].string() == nullptr) {
    return fail(unknown("selectattr without a list and an attribute"));
  }
  List kept;
  for (const Value& item : *list) {
    std::vector<Value> tested = {item.member(*arguments[1].string())};
    bool met = tested[0].truthy();
    if (arguments.size() > 2) {
      tested.insert(tested.end(), arguments.begin() + 3, arguments.end());
      const Result<bool> answer = apply_test(arguments[2].text(), tested);
      if (!answer) return std::unexpected(answer.error());
      met = *answer;
    }
    if (met == wanted) kept.push_back(item);
  }
  return Value(std::move(kept));
}

Value items_of(const Map& map) {
  List items;
  for (const auto& [key, value] : map) items.emplace_back(List{Value(key), value});
  return {std::move(items)};
}

}  // namespace

Value::Value(List list) {
  for (const Value& item : list) weight_ += item.weight();
  data_ = std::make_shared<const List>(std::move(list));
}

Value::Value(Map map) {
  for (const auto& [key, value] : map) weight_ += value.weight();
  data_ = std::make_shared<const Map>(std::move(map));
}

Value Value::member(std::string_view key) const {
  const Map* members = space() != nullptr ? &space()->members : map();
  if (members == nullptr) return {};
  for (const auto& [name, value] : *members) {
    if (name == key) return value;
  }
  return {};
}

bool Value::truthy() const {
  if (const auto* truth = std::get_if<bool>(&data_)) return *truth;
  if (const auto* whole = integer()) return *whole != 0;
  if (const auto* number = std::get_if<double>(&data_)) return *number != 0;
  if (const auto* text = string()) return !text->empty();
  if (const auto* items = list()) return !items->empty();
  if (const auto* members = map()) return !members->empty();
  return space() != nullptr;
}

std::string Value::text() const {
  if (const auto* text = string()) return *text;
  if (const auto* truth = std::get_if<bool>(&data_)) return *truth ? "True" : "False";
  if (const auto* whole = integer()) return std::to_string(*whole);
  if (const auto* number = std::get_if<double>(&data_)) return fmt::format("{}", *number);
  if (std::holds_alternative<None>(data_)) return "None";
  std::string text;
  if (const auto* items = list()) {
    for (const Value& item : *items) {
      text += (text.empty() ? "" : ", ") +
              (item.string() != nullptr ? "'" + item.text() + "'" : item.text());
    }
    return "[" + text + "]";
  }
  if (const auto* members = map()) {
    for (const auto& [key, value] : *members) {
      text += (text.empty() ? "'" : ", '") + key +
              "': " + (value.string() != nullptr ? "'" + value.text() + "'" : value.text());
    }
    return "{" + text + "}";
  }
  return "";
}

bool Value::equals(const Value& other) const {
  if (const auto* items = list()) {
    return other.list() != nullptr &&
           std::ranges::equal(*items, *other.list(),
                              [](const Value& a, const Value& b) { return a.equals(b); });
  }
  if (map() != nullptr || other.map() != nullptr) return map() == other.map();
  if (space() != nullptr || other.space() != nullptr) return space() == other.space();
  if (data_.index() == other.data_.index()) {
    return std::visit(
        [&other](const auto& mine) {
          return mine == std::get<std::decay_t<decltype(mine)>>(other.data_);
        },
        data_);
  }
  const auto* whole = integer();
  const auto* number = std::get_if<double>(&other.data_);
  if (whole != nullptr && number != nullptr) return static_cast<double>(*whole) == *number;
  return other.integer() != nullptr && std::holds_alternative<double>(data_) && other.equals(*this);
}

Result<bool> contains(const Value& container, const Value& item) {
  if (const List* list = container.list()) {
    return std::ranges::any_of(*list, [&](const Value& value) { return value.equals(item); });
  }
  if (const Map* map = container.map()) {
    return std::ranges::any_of(*map, [&](const auto& pair) {
      return item.string() != nullptr && pair.first == *item.string();
    });
  }
  if (container.string() != nullptr && item.string() != nullptr) {
    return container.string()->find(*item.string()) != std::string::npos;
  }
  if (container.is_undefined()) return false;
  return fail(unknown("in of what is no list, map or string"));
}

Result<Value> apply_filter(std::string_view name, const std::vector<Value>& arguments) {
  const Value& value = arguments[0];
  if (name == "length" || name == "count") return length_of(value);
  if (name == "default") {
    const bool also_false = arguments.size() > 2 && arguments[2].truthy();
    const bool absent = value.is_undefined() || (also_false && !value.truthy());
    return absent && arguments.size() > 1 ? arguments[1] : value;
  }
  if (name == "safe") return value;
  if (name == "string") return Value(value.text());
  if (name == "tojson" && value.string() != nullptr) return Value(Json(*value.string()).dump());
  if (name == "selectattr" || name == "rejectattr") {
    return selected(arguments, name == "selectattr");
  }
  if (const List* list = value.list()) {
    if (name == "first") return list->empty() ? Value() : list->front();
    if (name == "last") return list->empty() ? Value() : list->back();
    if (name == "list") return value;
    if (name == "join") return joined(*list, arguments.size() > 1 ? arguments[1].text() : "");
  }
  if (name == "items" && value.map() != nullptr) return items_of(*value.map());
  const std::string* text = value.string();
  if (text != nullptr) {
    if (name == "trim") return Value(stripped(*text, kSpaces, true, true));
    if (name == "upper" || name == "lower") return Value(lowered(*text, name == "upper"));
    if (name == "capitalize" && !text->empty()) {
      return Value(lowered(text->substr(0, 1), true) + lowered(text->substr(1), false));
    }
    if (name == "replace" && arguments.size() == 3) {
      return replaced(*text, arguments[1].text(), arguments[2].text());
    }
  }
  return fail(unknown("the filter " + std::string(name)));
}

Result<bool> apply_test(std::string_view name, const std::vector<Value>& arguments) {
  const Value& value = arguments[0];
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return std::holds_alternative<None>(value.data());
  if (name == "string") return value.string() != nullptr;
  if (name == "mapping") return value.map() != nullptr;
  if (name == "sequence" || name == "iterable") {
    return value.list() != nullptr || value.string() != nullptr || value.map() != nullptr;
  }
  if (name == "boolean") return std::holds_alternative<bool>(value.data());
  if (name == "integer") return value.integer() != nullptr;
  if (name == "number") {
    return value.integer() != nullptr || std::holds_alternative<double>(value.data());
  }
  if (name == "true") return value.equals(Value(true));
  if (name == "false") return value.equals(Value(false));
  if ((name == "equalto" || name == "eq") && arguments.size() == 2) {
    return value.equals(arguments[1]);
  }
  if (name == "in" && arguments.size() == 2) return contains(arguments[1], value);
  return fail(unknown("the test " + std::string(name)));
}

Result<Value> call_method(std::string_view name, const std::vector<Value>& arguments) {
  const Value& object = arguments[0];
  if (object.map() != nullptr) {
    if (name == "items") return items_of(*object.map());
    if (name == "get" && arguments.size() >= 2 && arguments[1].string() != nullptr) {
      Value found = object.member(*arguments[1].string());
      if (!found.is_undefined()) return found;
      return arguments.size() > 2 ? arguments[2] : Value(None{});
    }
  }
  const std::string* text = object.string();
  const std::string argument = arguments.size() > 1 ? arguments[1].text() : "";
  if (text == nullptr) return fail(unknown("the method " + std::string(name)));
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const std::string_view characters = arguments.size() > 1 ? argument : kSpaces;
    return Value(stripped(*text, characters, name != "rstrip", name != "lstrip"));
  }
  if (name == "startswith") return Value(text->starts_with(argument));
  if (name == "endswith") return Value(text->ends_with(argument));
  if (name == "upper" || name == "lower") return Value(lowered(*text, name == "upper"));
  if (name == "split" && arguments.size() == 2 && !argument.empty()) return split(*text, argument);
  if (name == "replace" && arguments.size() == 3) {
    return replaced(*text, argument, arguments[2].text());
  }
  return fail(unknown("the method " + std::string(name)));
}

}  // namespace quantlane::jinja
