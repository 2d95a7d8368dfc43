// Runs a syntax tree: scopes, loops, operators; what has a name is in jinja_builtins.cpp.
#include <algorithm>
#include <cmath>
#include <string>

#include "core/check.h"
#include "model/chat/jinja.h"
#include "model/chat/jinja_lex.h"

namespace quantlane::jinja {
namespace {

constexpr std::int64_t kMaxSteps = 1'000'000;

double number_of(const Value& value) {
  if (const auto* integer = value.integer()) return static_cast<double>(*integer);
  if (const auto* number = std::get_if<double>(&value.data())) return *number;
  const auto* truth = std::get_if<bool>(&value.data());
  return truth != nullptr && *truth ? 1 : 0;
}
bool is_number(const Value& value) {
  return value.integer() != nullptr || std::holds_alternative<double>(value.data()) ||
         std::holds_alternative<bool>(value.data());
}

// Python's rules for negative indices and for what lies outside.
std::int64_t slice_bound(const Value& value, std::int64_t absent, std::int64_t size,
                         std::int64_t lowest, std::int64_t highest) {
  if (value.integer() == nullptr) return absent;
  std::int64_t bound = *value.integer();
  if (bound < 0) bound = bound < -size ? lowest : bound + size;
  return std::min(std::max(bound, lowest), highest);
}

class Evaluator {
 public:
  Evaluator(Map globals, const std::string& origin) : origin_(origin) {
    scopes_.push_back(std::move(globals));
  }

  Result<std::string> run(const Body& body) {
    QUANTLANE_TRY_VOID(execute(body));
    return std::move(output_);
  }

 private:
  [[nodiscard]] Error unsupported_at(std::size_t offset, std::string found) const {
    return template_error(ErrorCode::kUnsupported, origin_, offset,
                          "operations of plain conversations", std::move(found));
  }

  Result<void> step(std::size_t offset, std::size_t weight = 1) {
    steps_ += static_cast<std::int64_t>(weight);
    if (steps_ <= kMaxSteps && output_.size() <= kMaxText) return {};
    return fail(template_error(ErrorCode::kResourceLimit, origin_, offset,
                               "at most a million steps and 16 MiB of text", "more"));
  }

  // Errors of builtins do not know where they were called.
  template <class T>
  Result<T> located(Result<T> result, std::size_t offset) const {
    if (!result && result.error().file.empty()) {
      result.error().file = origin_;
      result.error().offset = offset;
    }
    return result;
  }

  // ---- statements

  Result<void> execute(const Body& body) {
    for (const Statement& statement : body) QUANTLANE_TRY_VOID(execute(statement));
    return {};
  }

  Result<void> execute(const Statement& statement) {
    QUANTLANE_TRY_VOID(step(statement.offset));
    switch (statement.kind) {
      case StatementKind::kText:
        output_ += statement.text;
        return {};
      case StatementKind::kOutput: {
        QUANTLANE_TRY(const Value value, evaluate(statement.exprs[0]));
        output_ += value.text();
        return {};
      }
      case StatementKind::kSet:
        return set(statement);
      case StatementKind::kIf:
        for (std::size_t i = 0; i < statement.exprs.size(); ++i) {
          QUANTLANE_TRY(const Value condition, evaluate(statement.exprs[i]));
          if (condition.truthy()) return execute(statement.bodies[i]);
        }
        return statement.bodies.size() > statement.exprs.size() ? execute(statement.bodies.back())
                                                                : Result<void>();
      case StatementKind::kFor:
        return loop(statement);
    }
    return {};
  }

  void assign(const std::string& name, Value value) {
    for (auto& [key, present] : scopes_.back()) {
      if (key != name) continue;
      present = std::move(value);
      return;
    }
    scopes_.back().emplace_back(name, std::move(value));
  }

  Result<void> set(const Statement& statement) {
    QUANTLANE_TRY(Value value, evaluate(statement.exprs[0]));
    if (statement.attribute.empty()) {
      assign(statement.text, std::move(value));
      return {};
    }
    const Value found = lookup(statement.text);
    if (found.space() == nullptr || value.space() != nullptr) {
      return fail(unsupported_at(statement.offset, "an attribute of what is no namespace"));
    }
    for (auto& [key, present] : found.space()->members) {
      if (key != statement.attribute) continue;
      present = std::move(value);
      return {};
    }
    found.space()->members.emplace_back(statement.attribute, std::move(value));
    return {};
  }

  // The items that the loop runs over: those of the sequence that meet its condition.
  Result<List> items_of(const Statement& statement) {
    QUANTLANE_TRY(const Value sequence, evaluate(statement.exprs[0]));
    List all;
    if (const List* list = sequence.list()) {
      all = *list;
    } else if (const Map* map = sequence.map()) {
      for (const auto& [key, value] : *map) all.emplace_back(key);
    } else if (!sequence.is_undefined()) {
      return fail(unsupported_at(statement.offset, "a loop over what is no list"));
    }
    if (statement.exprs.size() == 1) return all;
    List kept;
    for (Value& item : all) {
      scopes_.emplace_back();
      QUANTLANE_TRY_VOID(bind(statement, item));
      QUANTLANE_TRY(const Value condition, evaluate(statement.exprs[1]));
      scopes_.pop_back();
      if (condition.truthy()) kept.push_back(std::move(item));
    }
    return kept;
  }

  Result<void> bind(const Statement& statement, const Value& item) {
    if (statement.names.size() == 1) {
      assign(statement.names[0], item);
      return {};
    }
    const List* parts = item.list();
    if (parts == nullptr || parts->size() != statement.names.size()) {
      return fail(unsupported_at(statement.offset, "loop variables that the items do not fill"));
    }
    for (std::size_t i = 0; i < parts->size(); ++i) assign(statement.names[i], (*parts)[i]);
    return {};
  }

  Result<void> loop(const Statement& statement) {
    QUANTLANE_TRY(const List items, items_of(statement));
    QUANTLANE_TRY_VOID(step(statement.offset, items.size()));
    if (items.empty()) {
      return statement.bodies.size() > 1 ? execute(statement.bodies[1]) : Result<void>();
    }
    const auto size = static_cast<std::int64_t>(items.size());
    for (std::int64_t i = 0; i < size; ++i) {
      scopes_.emplace_back();
      QUANTLANE_TRY_VOID(bind(statement, items[static_cast<std::size_t>(i)]));
      Map state = {{"index", Value(i + 1)},       {"index0", Value(i)},
                   {"first", Value(i == 0)},      {"last", Value(i + 1 == size)},
                   {"revindex", Value(size - i)}, {"revindex0", Value(size - i - 1)},
                   {"length", Value(size)}};
      if (i > 0) state.emplace_back("previtem", items[static_cast<std::size_t>(i - 1)]);
      if (i + 1 < size) state.emplace_back("nextitem", items[static_cast<std::size_t>(i + 1)]);
      assign("loop", Value(std::move(state)));
      QUANTLANE_TRY_VOID(execute(statement.bodies[0]));
      scopes_.pop_back();
    }
    return {};
  }

  // ---- expressions

  [[nodiscard]] Value lookup(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      for (const auto& [key, value] : *scope) {
        if (key == name) return value;
      }
    }
    return {};
  }

  Result<std::vector<Value>> evaluate_children(const Expr& expr) {
    std::vector<Value> values;
    for (const Expr& child : expr.children) {
      QUANTLANE_TRY(Value value, evaluate(child));
      values.push_back(std::move(value));
    }
    return values;
  }

  Result<Value> evaluate(const Expr& expr) {
    QUANTLANE_TRY_VOID(step(expr.offset));
    switch (expr.kind) {
      case ExprKind::kLiteral:
        return expr.value;
      case ExprKind::kName:
        return lookup(expr.text);
      case ExprKind::kBinary:
        return evaluate_binary(expr);
      case ExprKind::kConditional: {
        QUANTLANE_TRY(const Value condition, evaluate(expr.children[1]));
        return evaluate(expr.children[condition.truthy() ? 0 : 2]);
      }
      default:
        break;
    }
    QUANTLANE_TRY(std::vector<Value> values, evaluate_children(expr));
    QUANTLANE_TRY(Value value, located(evaluate_parts(expr, std::move(values)), expr.offset));
    return measured(std::move(value), expr.offset);
  }

  // What made `value` counts as steps of its size.
  Result<Value> measured(Value value, std::size_t offset) {
    QUANTLANE_TRY_VOID(step(offset, value.weight()));
    return value;
  }

  static bool holds_namespace(const std::vector<Value>& values) {
    return std::ranges::any_of(values, [](const Value& v) { return v.space() != nullptr; });
  }

  Result<Value> evaluate_parts(const Expr& expr, std::vector<Value> values) {
    const bool builds =
        expr.kind == ExprKind::kList || expr.kind == ExprKind::kMap || expr.kind == ExprKind::kCall;
    if (builds && holds_namespace(values)) {
      return fail(unsupported_at(expr.offset, "a namespace inside a value"));
    }
    switch (expr.kind) {
      case ExprKind::kList:
        return Value(List(std::move(values)));
      case ExprKind::kMap: {
        Map map;
        for (std::size_t i = 0; i + 1 < values.size(); i += 2) {
          map.emplace_back(values[i].text(), values[i + 1]);
        }
        return Value(std::move(map));
      }
      case ExprKind::kAttribute:
        if (values[0].is_undefined()) {
          return fail(unsupported_at(expr.offset, "." + expr.text + " of an undefined value"));
        }
        return values[0].member(expr.text);
      case ExprKind::kIndex:
        return index(expr, values[0], values[1]);
      case ExprKind::kSlice:
        return slice(expr, values);
      case ExprKind::kCall:
        return call(expr, std::move(values));
      case ExprKind::kMethod:
        if (!expr.keywords.empty()) return fail(unsupported_at(expr.offset, "keyword arguments"));
        return call_method(expr.text, values);
      case ExprKind::kFilter:
        if (!expr.keywords.empty()) return fail(unsupported_at(expr.offset, "keyword arguments"));
        return apply_filter(expr.text, values);
      case ExprKind::kTest: {
        QUANTLANE_TRY(const bool answer, apply_test(expr.text, values));
        return Value(answer);
      }
      case ExprKind::kUnary:
        if (expr.text == "not") return Value(!values[0].truthy());
        if (expr.text == "bool") return Value(values[0].truthy());
        if (const auto* integer = values[0].integer()) return Value(-*integer);
        return Value(-number_of(values[0]));
      default:
        return fail(unsupported_at(expr.offset, "an expression"));
    }
  }

  Result<Value> index(const Expr& expr, const Value& object, const Value& key) {
    if (object.is_undefined()) {
      return fail(unsupported_at(expr.offset, "an item of an undefined value"));
    }
    if (const auto* name = key.string()) return object.member(*name);
    const List* list = object.list();
    if (list == nullptr || key.integer() == nullptr) return Value();
    std::int64_t at = *key.integer();
    const auto size = static_cast<std::int64_t>(list->size());
    if (at < 0) at += size;
    return at >= 0 && at < size ? (*list)[static_cast<std::size_t>(at)] : Value();
  }

  Result<Value> slice(const Expr& expr, const std::vector<Value>& values) {
    const std::int64_t step = values[3].integer() == nullptr ? 1 : *values[3].integer();
    const List* list = values[0].list();
    const std::string* text = values[0].string();
    if ((list == nullptr && text == nullptr) || step == 0 || (text != nullptr && step != 1)) {
      return fail(unsupported_at(expr.offset, "this slice"));
    }
    const auto size = static_cast<std::int64_t>(list != nullptr ? list->size() : text->size());
    const bool forward = step > 0;
    const std::int64_t lowest = forward ? 0 : -1;
    const std::int64_t highest = forward ? size : size - 1;
    std::int64_t at = slice_bound(values[1], forward ? 0 : size - 1, size, lowest, highest);
    const std::int64_t end = slice_bound(values[2], forward ? size : -1, size, lowest, highest);
    if (text != nullptr) {
      // In bytes: exact for what templates cut off, which is ASCII.
      return Value(
          at < end ? text->substr(static_cast<std::size_t>(at), static_cast<std::size_t>(end - at))
                   : std::string());
    }
    List cut;
    for (; forward ? at < end : at > end; at += step) {
      cut.push_back((*list)[static_cast<std::size_t>(at)]);
    }
    return Value(std::move(cut));
  }

  Result<Value> call(const Expr& expr, std::vector<Value> values) {
    if (expr.text == "raise_exception") {
      return fail(make_error(ErrorCode::kInvalidArgument, "rendering a conversation")
                      .in(origin_)
                      .at(expr.offset)
                      .expects("a conversation that the template takes")
                      .got(values.empty() ? "an exception" : values[0].text()));
    }
    if (expr.text == "namespace" && expr.keywords.size() == values.size()) {
      auto space = std::make_shared<Namespace>();
      for (std::size_t i = 0; i < values.size(); ++i) {
        space->members.emplace_back(expr.keywords[i], std::move(values[i]));
      }
      return Value(std::move(space));
    }
    if (expr.text == "range" && values.size() == 1 && values[0].integer() != nullptr &&
        *values[0].integer() <= kMaxSteps) {
      List numbers;
      for (std::int64_t i = 0; i < *values[0].integer(); ++i) numbers.emplace_back(i);
      return Value(std::move(numbers));
    }
    return fail(unsupported_at(expr.offset, expr.text + "()"));
  }

  Result<Value> evaluate_binary(const Expr& expr) {
    QUANTLANE_TRY(Value left, evaluate(expr.children[0]));
    if (expr.text == "and" && !left.truthy()) return left;
    if (expr.text == "or" && left.truthy()) return left;
    QUANTLANE_TRY(Value right, evaluate(expr.children[1]));
    if (expr.text == "and" || expr.text == "or") return right;
    if (expr.text == "==") return Value(left.equals(right));
    if (expr.text == "!=") return Value(!left.equals(right));
    if (expr.text == "~") return measured(Value(left.text() + right.text()), expr.offset);
    if (expr.text == "in" || expr.text == "not in") {
      QUANTLANE_TRY(const bool inside, located(contains(right, left), expr.offset));
      return Value(inside == (expr.text == "in"));
    }
    if (left.string() != nullptr && right.string() != nullptr) {
      if (expr.text == "+") {
        return measured(Value(*left.string() + *right.string()), expr.offset);
      }
      if (expr.text == "<") return Value(*left.string() < *right.string());
      if (expr.text == ">") return Value(*left.string() > *right.string());
    }
    if (expr.text == "+" && left.list() != nullptr && right.list() != nullptr) {
      List joined = *left.list();
      joined.insert(joined.end(), right.list()->begin(), right.list()->end());
      return measured(Value(std::move(joined)), expr.offset);
    }
    if (!is_number(left) || !is_number(right)) {
      return fail(unsupported_at(expr.offset, expr.text + " of these values"));
    }
    return arithmetic(expr, left, right);
  }

  Result<Value> arithmetic(const Expr& expr, const Value& left, const Value& right) {
    const double a = number_of(left);
    const double b = number_of(right);
    if (expr.text == "<") return Value(a < b);
    if (expr.text == "<=") return Value(a <= b);
    if (expr.text == ">") return Value(a > b);
    if (expr.text == ">=") return Value(a >= b);
    double result = 0;
    if (expr.text == "+") {
      result = a + b;
    } else if (expr.text == "-") {
      result = a - b;
    } else if (expr.text == "*") {
      result = a * b;
    } else if (b == 0) {
      return fail(unsupported_at(expr.offset, "a division by zero"));
    } else if (expr.text == "/") {
      return Value(a / b);
    } else {
      result = expr.text == "//" ? std::floor(a / b) : a - b * std::floor(a / b);
    }
    constexpr double kExact = 9007199254740992.0;  // 2^53
    const bool whole = left.integer() != nullptr && right.integer() != nullptr;
    if (whole && std::fabs(result) < kExact) return Value(static_cast<std::int64_t>(result));
    return Value(result);
  }

  const std::string& origin_;
  std::vector<Map> scopes_;
  std::string output_;
  std::int64_t steps_ = 0;
};

}  // namespace

Result<std::string> evaluate(const Body& body, Map globals, const std::string& origin) {
  return Evaluator(std::move(globals), origin).run(body);
}

}  // namespace quantlane::jinja
