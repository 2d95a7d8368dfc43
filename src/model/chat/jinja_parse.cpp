// Pieces to syntax tree: recursive descent over statements and over the tokens of a tag, with the
// precedences of Jinja's own parser.
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "core/check.h"
#include "model/chat/jinja.h"
#include "model/chat/jinja_lex.h"

namespace quantlane::jinja {
namespace {

constexpr int kMaxDepth = 60;  // of nested brackets and blocks

class Parser {
 public:
  Parser(std::vector<Piece> pieces, const std::string& origin)
      : pieces_(std::move(pieces)), origin_(origin) {}

  Result<Body> run() {
    QUANTLANE_TRY(Body body, parse_body());
    if (!closing_.empty()) return fail(syntax(closing_offset_, "a block to close", closing_));
    return body;
  }

 private:
  [[nodiscard]] Error syntax(std::size_t offset, std::string expected, std::string found) const {
    return template_error(ErrorCode::kCorrupt, origin_, offset, std::move(expected),
                          std::move(found));
  }
  [[nodiscard]] Error unknown(std::size_t offset, std::string found) const {
    return template_error(ErrorCode::kUnsupported, origin_, offset, "text, output, for, if and set",
                          std::move(found));
  }

  // Statements up to a tag that ends or continues the enclosing block: that tag's word is left in
  // closing_, its remaining tokens in tokens_.
  Result<Body> parse_body() {
    Body body;
    closing_.clear();
    if (++depth_ > kMaxDepth) return fail(syntax(0, "less nesting", "too many blocks"));
    while (piece_ < pieces_.size()) {
      Piece& piece = pieces_[piece_++];
      if (piece.kind == PieceKind::kText) {
        body.push_back({.kind = StatementKind::kText, .text = std::move(piece.text)});
        continue;
      }
      tokens_ = std::move(piece.tokens);
      next_ = 0;
      if (piece.kind == PieceKind::kOutput) {
        Statement output{.kind = StatementKind::kOutput, .offset = piece.offset};
        QUANTLANE_TRY(Expr value, parse_expression());
        QUANTLANE_TRY_VOID(expect_end());
        output.exprs.push_back(std::move(value));
        body.push_back(std::move(output));
        continue;
      }
      QUANTLANE_TRY(const bool closes, parse_statement(body, piece.offset));
      if (closes) break;
    }
    --depth_;
    return body;
  }

  // ---- statements

  // Appends the statement of the tag just read; true: its word ends or continues a block.
  Result<bool> parse_statement(Body& body, std::size_t offset) {
    const std::string word = peek().text;
    if (peek().kind != TokenKind::kName) return fail(syntax(offset, "a statement", word));
    ++next_;
    for (const std::string_view closing : {"endif", "endfor", "else", "elif"}) {
      if (word != closing) continue;
      closing_ = word;
      closing_offset_ = offset;
      return true;
    }
    Statement statement{.offset = offset};
    if (word == "if") {
      QUANTLANE_TRY_VOID(parse_if(statement));
    } else if (word == "for") {
      QUANTLANE_TRY_VOID(parse_for(statement));
    } else if (word == "set") {
      QUANTLANE_TRY_VOID(parse_set(statement));
    } else {
      return fail(unknown(offset, "{% " + word + " %}"));
    }
    body.push_back(std::move(statement));
    return false;
  }

  Result<void> parse_if(Statement& statement) {
    statement.kind = StatementKind::kIf;
    closing_ = "elif";
    while (closing_ == "elif") {
      QUANTLANE_TRY(Expr condition, parse_expression());
      QUANTLANE_TRY_VOID(expect_end());
      statement.exprs.push_back(std::move(condition));
      QUANTLANE_TRY(Body body, parse_body());
      statement.bodies.push_back(std::move(body));
    }
    return finish_block(statement, "endif");
  }

  Result<void> parse_for(Statement& statement) {
    statement.kind = StatementKind::kFor;
    do {
      if (peek().kind != TokenKind::kName) {
        return fail(syntax(peek().offset, "a loop variable", peek().text));
      }
      statement.names.push_back(take().text);
    } while (accept(","));
    if (!accept_name("in")) return fail(syntax(peek().offset, "in", peek().text));
    // Without the ternary, whose `if` would take the condition of the loop.
    QUANTLANE_TRY(Expr sequence, parse_or());
    statement.exprs.push_back(std::move(sequence));
    if (accept_name("if")) {
      QUANTLANE_TRY(Expr condition, parse_expression());
      statement.exprs.push_back(std::move(condition));
    }
    QUANTLANE_TRY_VOID(expect_end());
    QUANTLANE_TRY(Body body, parse_body());
    statement.bodies.push_back(std::move(body));
    return finish_block(statement, "endfor");
  }

  // An optional else, then `end`.
  Result<void> finish_block(Statement& statement, std::string_view end) {
    if (closing_ == "else") {
      QUANTLANE_TRY_VOID(expect_end());
      QUANTLANE_TRY(Body body, parse_body());
      statement.bodies.push_back(std::move(body));
    }
    if (closing_ != end) {
      return fail(syntax(closing_offset_, "{% " + std::string(end) + " %}",
                         closing_.empty() ? "the end" : closing_));
    }
    closing_.clear();
    return expect_end();
  }

  Result<void> parse_set(Statement& statement) {
    statement.kind = StatementKind::kSet;
    if (peek().kind != TokenKind::kName) return fail(syntax(peek().offset, "a name", peek().text));
    statement.text = take().text;
    if (accept(".")) statement.attribute = take().text;
    if (!accept("=")) {
      return fail(unknown(statement.offset, "{% set %} with a block or several names"));
    }
    QUANTLANE_TRY(Expr value, parse_expression());
    statement.exprs.push_back(std::move(value));
    return expect_end();
  }

  // ---- expressions

  [[nodiscard]] const Token& peek() const { return tokens_[next_]; }
  const Token& take() {
    const Token& token = tokens_[next_];
    if (token.kind != TokenKind::kEnd) ++next_;
    return token;
  }
  bool accept(std::string_view symbol) {
    if (peek().kind != TokenKind::kSymbol || peek().text != symbol) return false;
    ++next_;
    return true;
  }
  bool accept_name(std::string_view name) {
    if (peek().kind != TokenKind::kName || peek().text != name) return false;
    ++next_;
    return true;
  }
  Result<void> expect(std::string_view symbol) {
    if (accept(symbol)) return {};
    return fail(syntax(peek().offset, std::string(symbol), peek().text));
  }
  Result<void> expect_end() {
    if (peek().kind == TokenKind::kEnd) return {};
    return fail(syntax(peek().offset, "the end of the tag", peek().text));
  }

  [[nodiscard]] static Expr binary(std::string op, Expr left, Expr right) {
    Expr expr{.kind = ExprKind::kBinary, .text = std::move(op), .offset = left.offset};
    expr.children.push_back(std::move(left));
    expr.children.push_back(std::move(right));
    return expr;
  }

  // a if b else c
  Result<Expr> parse_expression() {
    if (++depth_ > kMaxDepth) return fail(syntax(peek().offset, "less nesting", peek().text));
    QUANTLANE_TRY(Expr expr, parse_or());
    while (accept_name("if")) {
      Expr conditional{.kind = ExprKind::kConditional, .offset = expr.offset};
      conditional.children.push_back(std::move(expr));
      QUANTLANE_TRY(Expr condition, parse_or());
      conditional.children.push_back(std::move(condition));
      Expr otherwise;
      if (accept_name("else")) {
        QUANTLANE_TRY(otherwise, parse_expression());
      }
      conditional.children.push_back(std::move(otherwise));
      expr = std::move(conditional);
    }
    --depth_;
    return expr;
  }

  Result<Expr> parse_or() {
    QUANTLANE_TRY(Expr left, parse_and());
    while (accept_name("or")) {
      QUANTLANE_TRY(Expr right, parse_and());
      left = binary("or", std::move(left), std::move(right));
    }
    return left;
  }

  Result<Expr> parse_and() {
    QUANTLANE_TRY(Expr left, parse_not());
    while (accept_name("and")) {
      QUANTLANE_TRY(Expr right, parse_not());
      left = binary("and", std::move(left), std::move(right));
    }
    return left;
  }

  Result<Expr> parse_not() {
    const std::size_t offset = peek().offset;
    bool negated = false;
    bool any = false;
    while (accept_name("not")) {
      negated = !negated;
      any = true;
    }
    QUANTLANE_TRY(Expr inner, parse_compare());
    if (!any) return inner;
    // An even number still turns the value into a truth value.
    Expr expr{.kind = ExprKind::kUnary, .text = negated ? "not" : "bool", .offset = offset};
    expr.children.push_back(std::move(inner));
    return expr;
  }

  Result<Expr> parse_compare() {
    QUANTLANE_TRY(Expr left, parse_sum());
    bool chained = false;
    while (true) {
      std::string op;
      for (const std::string_view symbol : {"==", "!=", "<=", ">=", "<", ">"}) {
        if (op.empty() && accept(symbol)) op = symbol;
      }
      if (op.empty() && accept_name("in")) op = "in";
      if (op.empty() && peek().text == "not" && next_ + 1 < tokens_.size() &&
          tokens_[next_ + 1].text == "in") {
        next_ += 2;
        op = "not in";
      }
      if (op.empty()) return left;
      if (chained) return fail(unknown(peek().offset, "a chain of comparisons"));
      QUANTLANE_TRY(Expr right, parse_sum());
      left = binary(std::move(op), std::move(left), std::move(right));
      chained = true;
    }
  }

  using Rule = Result<Expr> (Parser::*)();
  Result<Expr> parse_operators(std::initializer_list<std::string_view> symbols, Rule operand) {
    QUANTLANE_TRY(Expr left, (this->*operand)());
    while (true) {
      std::string op;
      for (const std::string_view symbol : symbols) {
        if (op.empty() && accept(symbol)) op = symbol;
      }
      if (op.empty()) return left;
      QUANTLANE_TRY(Expr right, (this->*operand)());
      left = binary(std::move(op), std::move(left), std::move(right));
    }
  }
  Result<Expr> parse_sum() { return parse_operators({"+", "-"}, &Parser::parse_concatenation); }
  Result<Expr> parse_concatenation() { return parse_operators({"~"}, &Parser::parse_product); }
  Result<Expr> parse_product() {
    return parse_operators({"*", "//", "/", "%"}, &Parser::parse_sign);
  }

  // A sign binds closer than a filter: `-x | f` is `(-x) | f`.
  Result<Expr> parse_sign() {
    const std::size_t offset = peek().offset;
    const bool minus = accept("-");
    QUANTLANE_TRY(Expr expr, parse_primary());
    QUANTLANE_TRY(expr, parse_postfix(std::move(expr)));
    if (minus) {
      Expr negative{.kind = ExprKind::kUnary, .text = "-", .offset = offset};
      negative.children.push_back(std::move(expr));
      expr = std::move(negative);
    }
    return parse_filters(std::move(expr));
  }

  Result<Expr> parse_primary() {
    const Token token = take();
    Expr expr{.kind = ExprKind::kLiteral, .offset = token.offset};
    switch (token.kind) {
      case TokenKind::kString:
        expr.value = Value(token.text);
        while (peek().kind == TokenKind::kString) {
          expr.value = Value(*expr.value.string() + take().text);
        }
        return expr;
      case TokenKind::kInteger: {
        std::int64_t number = 0;
        const auto read =
            std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
        if (read.ec != std::errc()) return fail(syntax(token.offset, "an integer", token.text));
        expr.value = Value(number);
        return expr;
      }
      case TokenKind::kFloat:
        expr.value = Value(std::strtod(token.text.c_str(), nullptr));
        return expr;
      case TokenKind::kName:
        return parse_name(token);
      case TokenKind::kSymbol:
        return parse_bracket(token);
      case TokenKind::kEnd:
        break;
    }
    return fail(syntax(token.offset, "an expression", token.text));
  }

  static Result<Expr> parse_name(const Token& token) {
    Expr expr{.kind = ExprKind::kLiteral, .offset = token.offset};
    if (token.text == "true" || token.text == "True") {
      expr.value = Value(true);
    } else if (token.text == "false" || token.text == "False") {
      expr.value = Value(false);
    } else if (token.text == "none" || token.text == "None") {
      expr.value = Value(None{});
    } else {
      expr.kind = ExprKind::kName;
      expr.text = token.text;
    }
    return expr;
  }

  Result<Expr> parse_bracket(const Token& token) {
    if (token.text == "(") {
      QUANTLANE_TRY(Expr inner, parse_expression());
      if (accept(",")) return fail(unknown(token.offset, "a tuple"));
      QUANTLANE_TRY_VOID(expect(")"));
      return inner;
    }
    Expr expr{.kind = ExprKind::kList, .offset = token.offset};
    if (token.text == "[") {
      while (!accept("]")) {
        if (!expr.children.empty()) QUANTLANE_TRY_VOID(expect(","));
        if (accept("]")) break;
        QUANTLANE_TRY(Expr item, parse_expression());
        expr.children.push_back(std::move(item));
      }
      return expr;
    }
    if (token.text != "{") return fail(syntax(token.offset, "an expression", token.text));
    expr.kind = ExprKind::kMap;
    while (!accept("}")) {
      if (!expr.children.empty()) QUANTLANE_TRY_VOID(expect(","));
      if (accept("}")) break;
      QUANTLANE_TRY(Expr key, parse_expression());
      QUANTLANE_TRY_VOID(expect(":"));
      QUANTLANE_TRY(Expr value, parse_expression());
      expr.children.push_back(std::move(key));
      expr.children.push_back(std::move(value));
    }
    return expr;
  }

  Result<Expr> parse_postfix(Expr expr) {
    while (true) {
      if (accept(".")) {
        Expr attribute{.kind = ExprKind::kAttribute, .offset = peek().offset};
        if (peek().kind != TokenKind::kName) {
          return fail(syntax(peek().offset, "a name", peek().text));
        }
        attribute.text = take().text;
        attribute.children.push_back(std::move(expr));
        expr = std::move(attribute);
      } else if (accept("[")) {
        QUANTLANE_TRY(expr, parse_subscript(std::move(expr)));
      } else if (peek().text == "(" && peek().kind == TokenKind::kSymbol) {
        const bool method = expr.kind == ExprKind::kAttribute;
        if (!method && expr.kind != ExprKind::kName) {
          return fail(unknown(peek().offset, "a call of an expression"));
        }
        expr.kind = method ? ExprKind::kMethod : ExprKind::kCall;
        QUANTLANE_TRY_VOID(parse_arguments(expr));
      } else {
        return expr;
      }
    }
  }

  Result<Expr> parse_subscript(Expr object) {
    Expr expr{.kind = ExprKind::kIndex, .offset = object.offset};
    expr.children.push_back(std::move(object));
    std::vector<std::optional<Expr>> parts(1);
    while (!accept("]")) {
      if (accept(":")) {
        parts.emplace_back();
        continue;
      }
      QUANTLANE_TRY(parts.back(), parse_expression());
    }
    if (parts.size() > 3 || (parts.size() == 1 && !parts[0])) {
      return fail(syntax(expr.offset, "an index or a slice", "[…]"));
    }
    if (parts.size() > 1) expr.kind = ExprKind::kSlice;
    if (expr.kind == ExprKind::kSlice) parts.resize(3);
    for (std::optional<Expr>& part : parts) {
      if (!part) part = Expr{.value = Value(None{}), .offset = expr.offset};
      expr.children.push_back(std::move(*part));
    }
    return expr;
  }

  // "(" positional and keyword arguments ")", appended to the children.
  Result<void> parse_arguments(Expr& call) {
    QUANTLANE_TRY_VOID(expect("("));
    bool first = true;
    while (!accept(")")) {
      if (!first) QUANTLANE_TRY_VOID(expect(","));
      first = false;
      if (accept(")")) break;
      const bool keyword = peek().kind == TokenKind::kName && next_ + 1 < tokens_.size() &&
                           tokens_[next_ + 1].kind == TokenKind::kSymbol &&
                           tokens_[next_ + 1].text == "=";
      if (keyword) {
        call.keywords.push_back(take().text);
        ++next_;
      } else if (!call.keywords.empty()) {
        return fail(syntax(peek().offset, "a keyword argument", peek().text));
      }
      QUANTLANE_TRY(Expr argument, parse_expression());
      call.children.push_back(std::move(argument));
    }
    return {};
  }

  Result<Expr> parse_filters(Expr expr) {
    while (true) {
      Expr applied{.offset = peek().offset};
      bool negated = false;
      if (accept("|")) {
        applied.kind = ExprKind::kFilter;
      } else if (accept_name("is")) {
        applied.kind = ExprKind::kTest;
        negated = accept_name("not");
      } else {
        return expr;
      }
      if (peek().kind != TokenKind::kName)
        return fail(syntax(peek().offset, "a name", peek().text));
      applied.text = take().text;
      applied.children.push_back(std::move(expr));
      if (peek().kind == TokenKind::kSymbol && peek().text == "(") {
        QUANTLANE_TRY_VOID(parse_arguments(applied));
      } else if (applied.kind == ExprKind::kTest &&
                 (peek().kind == TokenKind::kString || peek().kind == TokenKind::kInteger)) {
        QUANTLANE_TRY(Expr argument, parse_primary());
        applied.children.push_back(std::move(argument));
      }
      if (negated) {
        Expr inverse{.kind = ExprKind::kUnary, .text = "not", .offset = applied.offset};
        inverse.children.push_back(std::move(applied));
        applied = std::move(inverse);
      }
      expr = std::move(applied);
    }
  }

  std::vector<Piece> pieces_;
  const std::string& origin_;
  std::size_t piece_ = 0;
  std::vector<Token> tokens_;  // of the present tag
  std::size_t next_ = 0;
  std::string closing_;  // the word of the tag that ended parse_body()
  std::size_t closing_offset_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<Body> parse(std::string_view source, const std::string& origin) {
  QUANTLANE_TRY(std::vector<Piece> pieces, lex(source, origin));
  return Parser(std::move(pieces), origin).run();
}

}  // namespace quantlane::jinja
