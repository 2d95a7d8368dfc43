// Source to pieces: text, output tags and statement tags with their tokens, white space stripped as
// Jinja strips it with trim_blocks and lstrip_blocks.
#include "model/chat/jinja_lex.h"

#include <array>

#include "core/check.h"

namespace quantlane::jinja {
namespace {

constexpr std::size_t kMaxSource = std::size_t{1} << 20;

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Two characters first.
constexpr std::array<std::string_view, 25> kSymbols = {
    "==", "!=", "<=", ">=", "//", "**", "(", ")", "[", "]", "{", "}", ",",
    ":",  ".",  "|",  "=",  "<",  ">",  "+", "-", "*", "/", "%", "~"};

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& origin) : source_(source), origin_(origin) {}

  Result<std::vector<Piece>> run() {
    if (source_.size() > kMaxSource) {
      return fail(make_error(ErrorCode::kResourceLimit, "reading a chat template")
                      .in(origin_)
                      .expects("at most 1 MiB")
                      .got("more"));
    }
    // Jinja drops one newline at the end of a template.
    if (source_.ends_with('\n')) source_.remove_suffix(1);
    while (true) {
      read_text();
      if (at_ >= source_.size()) return std::move(pieces_);
      const char kind = source_[at_ + 1];
      const std::size_t offset = at_;
      QUANTLANE_TRY_VOID(read_tag(kind));
      if (kind == '#') continue;
      pieces_.push_back({.kind = kind == '{' ? PieceKind::kOutput : PieceKind::kStatement,
                         .text = {},
                         .tokens = std::move(tokens_),
                         .offset = offset});
    }
  }

 private:
  [[nodiscard]] Error syntax(std::size_t offset, std::string expected, std::string found) const {
    return template_error(ErrorCode::kCorrupt, origin_, offset, std::move(expected),
                          std::move(found));
  }

  // Text up to the next tag, with what the tags around it strip.
  void read_text() {
    std::size_t end = at_;
    while (true) {
      end = source_.find('{', end);
      if (end == std::string_view::npos || end + 1 >= source_.size()) {
        end = source_.size();
        break;
      }
      const char next = source_[end + 1];
      if (next == '{' || next == '%' || next == '#') break;
      ++end;
    }
    std::string_view text = source_.substr(at_, end - at_);
    if (strip_next_) {
      while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    } else if (trim_newline_ && text.starts_with('\n')) {
      text.remove_prefix(1);
    }
    strip_next_ = trim_newline_ = false;
    if (end < source_.size()) text = stripped_before(text, end);
    at_ = end;
    if (text.empty()) return;
    pieces_.push_back(
        {.kind = PieceKind::kText, .text = std::string(text), .tokens = {}, .offset = at_});
  }

  // `text` ends where the tag at `tag` begins: "{%-" takes all white space, a block or comment that
  // is the first thing in its line takes the blanks before it (lstrip_blocks).
  [[nodiscard]] std::string_view stripped_before(std::string_view text, std::size_t tag) const {
    const char kind = source_[tag + 1];
    const char mark = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (mark == '-') {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
      return text;
    }
    if (kind == '{' || mark == '+') return text;
    const std::size_t blanks = text.find_last_not_of(" \t");
    if (blanks != std::string_view::npos && text[blanks] == '\n') return text.substr(0, blanks + 1);
    const std::size_t begin = tag - text.size();
    const bool line_start = begin == 0 || source_[begin - 1] == '\n';
    return blanks == std::string_view::npos && line_start ? std::string_view() : text;
  }

  // The tokens of the tag at at_, which is left behind its end.
  Result<void> read_tag(char kind) {
    tokens_.clear();
    const std::size_t begin = at_;
    at_ += 2;
    if (kind == '#') {
      const std::size_t end = source_.find("#}", at_);
      if (end == std::string_view::npos) return fail(syntax(begin, "#}", "the end"));
      strip_next_ = source_[end - 1] == '-';
      trim_newline_ = true;
      at_ = end + 2;
      return {};
    }
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
    const std::string_view close = kind == '{' ? "}}" : "%}";
    int braces = 0;
    while (true) {
      while (at_ < source_.size() && is_space(source_[at_])) ++at_;
      if (at_ >= source_.size()) return fail(syntax(begin, std::string(close), "the end"));
      const std::string_view rest = source_.substr(at_);
      const bool dash = rest.size() > 2 && rest.front() == '-' && rest.substr(1).starts_with(close);
      if (braces == 0 && (dash || rest.starts_with(close))) {
        at_ += close.size() + (dash ? 1 : 0);
        strip_next_ = dash;
        trim_newline_ = kind == '%';
        tokens_.push_back({.kind = TokenKind::kEnd, .text = "the end of the tag", .offset = at_});
        return {};
      }
      QUANTLANE_TRY_VOID(read_token());
      if (tokens_.back().kind == TokenKind::kSymbol) {
        if (tokens_.back().text == "{") ++braces;
        if (tokens_.back().text == "}") --braces;
      }
    }
  }

  Result<void> read_token() {
    const std::size_t begin = at_;
    const char c = source_[at_];
    if (is_name_start(c)) {
      while (at_ < source_.size() && (is_name_start(source_[at_]) || is_digit(source_[at_]))) ++at_;
      push(TokenKind::kName, begin);
      return {};
    }
    if (is_digit(c)) {
      while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
      const bool fraction =
          at_ + 1 < source_.size() && source_[at_] == '.' && is_digit(source_[at_ + 1]);
      if (fraction) {
        ++at_;
        while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
      }
      push(fraction ? TokenKind::kFloat : TokenKind::kInteger, begin);
      return {};
    }
    if (c == '\'' || c == '"') return read_string(c);
    for (const std::string_view symbol : kSymbols) {
      if (!source_.substr(at_).starts_with(symbol)) continue;
      at_ += symbol.size();
      push(TokenKind::kSymbol, begin);
      return {};
    }
    return fail(syntax(begin, "an expression", "\"" + std::string(1, c) + "\""));
  }

  void push(TokenKind kind, std::size_t begin) {
    tokens_.push_back(
        {.kind = kind, .text = std::string(source_.substr(begin, at_ - begin)), .offset = begin});
  }

  Result<void> read_string(char quote) {
    const std::size_t begin = at_++;
    std::string text;
    while (at_ < source_.size() && source_[at_] != quote) {
      char c = source_[at_++];
      if (c == '\\' && at_ < source_.size()) {
        c = source_[at_++];
        if (c == 'n') {
          c = '\n';
        } else if (c == 't') {
          c = '\t';
        } else if (c == 'r') {
          c = '\r';
        } else if (c != '\\' && c != '\'' && c != '"') {
          return fail(template_error(ErrorCode::kUnsupported, origin_, at_ - 2,
                                     "\\n, \\t, \\r, \\\\ or a quote", std::string("\\") + c));
        }
      }
      text += c;
    }
    if (at_ >= source_.size()) return fail(syntax(begin, "the end of the string", "the end"));
    ++at_;
    tokens_.push_back({.kind = TokenKind::kString, .text = std::move(text), .offset = begin});
    return {};
  }

  std::string_view source_;
  const std::string& origin_;
  std::size_t at_ = 0;
  bool strip_next_ = false;    // the tag before ended with "-%}"
  bool trim_newline_ = false;  // the tag before was a block or a comment
  std::vector<Token> tokens_;  // of the present tag, kEnd last
  std::vector<Piece> pieces_;
};

}  // namespace

Error template_error(ErrorCode code, const std::string& origin, std::size_t offset,
                     std::string expected, std::string found) {
  return make_error(code, "reading a chat template")
      .in(origin)
      .at(offset)
      .expects(std::move(expected))
      .got(std::move(found));
}

Result<std::vector<Piece>> lex(std::string_view source, const std::string& origin) {
  return Lexer(source, origin).run();
}

}  // namespace quantlane::jinja
