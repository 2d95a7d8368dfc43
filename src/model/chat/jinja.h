// Values and syntax tree of the Jinja subset of chat_template.h; for src/model/chat only.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "quantlane/result.h"

namespace quantlane::jinja {

constexpr std::size_t kBytesPerStep = 64;                // of text that count as much as one step
constexpr std::size_t kMaxText = std::size_t{16} << 20;  // bytes of one value and of the result

struct Undefined {
  bool operator==(const Undefined&) const = default;
};
struct None {
  bool operator==(const None&) const = default;
};
class Value;
using List = std::vector<Value>;
using Map = std::vector<std::pair<std::string, Value>>;

// What `set` changes in place. It is never part of another value, so values have no cycles.
struct Namespace;

// Lists, maps and namespaces are shared, the first two never changed.
class Value {
 public:
  using Data = std::variant<Undefined, None, bool, std::int64_t, double, std::string,
                            std::shared_ptr<const List>, std::shared_ptr<const Map>,
                            std::shared_ptr<Namespace>>;
  Value() = default;  // undefined; the others convert: NOLINTBEGIN(google-explicit-constructor)
  Value(None none) : data_(none) {}
  Value(bool value) : data_(value) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::move(value)) {
    weight_ += std::get<std::string>(data_).size() / kBytesPerStep;
  }
  Value(List list);
  Value(Map map);
  Value(std::shared_ptr<Namespace> space)
      : data_(std::move(space)) {}  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] const Data& data() const { return data_; }
  [[nodiscard]] bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  [[nodiscard]] const std::string* string() const { return std::get_if<std::string>(&data_); }
  [[nodiscard]] const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data_); }
  [[nodiscard]] const List* list() const {
    const auto* list = std::get_if<std::shared_ptr<const List>>(&data_);
    return list == nullptr ? nullptr : list->get();
  }
  [[nodiscard]] const Map* map() const {
    const auto* map = std::get_if<std::shared_ptr<const Map>>(&data_);
    return map == nullptr ? nullptr : map->get();
  }
  [[nodiscard]] Namespace* space() const {
    const auto* space = std::get_if<std::shared_ptr<Namespace>>(&data_);
    return space == nullptr ? nullptr : space->get();
  }
  // Values that text() would go through, this one included.
  [[nodiscard]] std::size_t weight() const { return weight_; }
  // Member of a map or namespace, undefined where there is none.
  [[nodiscard]] Value member(std::string_view key) const;
  [[nodiscard]] bool truthy() const;
  // As `{{ value }}` prints it.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool equals(const Value& other) const;

 private:
  Data data_;
  std::size_t weight_ = 1;
};

struct Namespace {
  Map members;
};

enum class ExprKind : std::uint8_t {
  kLiteral,      // value
  kName,         // text
  kList,         // children
  kMap,          // children: key, value, key, value, …
  kAttribute,    // children[0].text
  kIndex,        // children[0][children[1]]
  kSlice,        // children[0][children[1]:children[2]:children[3]]
  kCall,         // text(children…), keywords are those of the last children
  kMethod,       // children[0].text(children[1…])
  kFilter,       // children[0] | text(children[1…])
  kTest,         // children[0] is text children[1…]
  kUnary,        // text: "not", "-"
  kBinary,       // text: the operator
  kConditional,  // children[0] if children[1] else children[2]
};

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  std::string text = {};
  Value value = {};
  std::vector<Expr> children = {};
  std::vector<std::string> keywords = {};
  std::size_t offset = 0;  // in the source
};

enum class StatementKind : std::uint8_t { kText, kOutput, kIf, kFor, kSet };

struct Statement {
  StatementKind kind = StatementKind::kText;
  std::string text = {};                // of kText; the variable of kSet
  std::string attribute = {};           // kSet: of a namespace
  std::vector<std::string> names = {};  // kFor: loop variables
  // kOutput and kSet: the value; kFor: the sequence and, where given, the condition on its items;
  // kIf: the conditions.
  std::vector<Expr> exprs = {};
  // kIf: one for each condition, one more for else; kFor: the body, one more for else.
  std::vector<std::vector<Statement>> bodies = {};
  std::size_t offset = 0;
};

using Body = std::vector<Statement>;

// Errors carry `origin` and the offset.
Result<Body> parse(std::string_view source, const std::string& origin);
// Runs `body`; `globals` are the variables it sees.
Result<std::string> evaluate(const Body& body, Map globals, const std::string& origin);

// Filters, tests and methods by name; `arguments[0]` is what they are applied to. kUnsupported for
// unknown names and for types that they do not take.
Result<Value> apply_filter(std::string_view name, const std::vector<Value>& arguments);
Result<bool> apply_test(std::string_view name, const std::vector<Value>& arguments);
Result<Value> call_method(std::string_view name, const std::vector<Value>& arguments);
// How `a in b` answers.
Result<bool> contains(const Value& container, const Value& item);

}  // namespace quantlane::jinja
