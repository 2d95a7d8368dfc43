// Pieces and tokens of a template; for src/model/chat only.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quantlane/result.h"

namespace quantlane::jinja {

enum class TokenKind : std::uint8_t { kName, kInteger, kFloat, kString, kSymbol, kEnd };
struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // of a string: its value
  std::size_t offset = 0;
};

enum class PieceKind : std::uint8_t { kText, kOutput, kStatement };
struct Piece {
  PieceKind kind = PieceKind::kText;
  std::string text;           // kText
  std::vector<Token> tokens;  // of the tag, kEnd last
  std::size_t offset = 0;     // in the source
};

// Comments are left out. kCorrupt for tags and strings without an end, kResourceLimit above 1 MiB.
Result<std::vector<Piece>> lex(std::string_view source, const std::string& origin);

// An error at `offset` of the template `origin`.
Error template_error(ErrorCode code, const std::string& origin, std::size_t offset,
                     std::string expected, std::string found);

}  // namespace quantlane::jinja
