#include "model/tokenizer/byte_alphabet.h"

#include <array>

#include "model/tokenizer/unicode.h"

namespace quantlane {
namespace {

// Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 onwards in
// order.
struct Alphabet {
  std::array<std::string, 256> letters;
  std::array<int, 512> bytes;  // code point -> byte, -1 where none

  Alphabet() {
    bytes.fill(-1);
    char32_t substitute = 256;
    for (unsigned int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
      const char32_t code_point = printable ? byte : substitute++;
      append_utf8(code_point, letters[byte]);
      bytes[code_point] = static_cast<int>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

std::string_view byte_letter(unsigned char byte) { return alphabet().letters[byte]; }

void append_spelled_bytes(std::string_view piece, std::string& bytes) {
  const Alphabet& letters = alphabet();
  for (std::size_t at = 0; at < piece.size();) {
    std::size_t length = utf8_length(piece, at);
    const char32_t code_point = length == 0 ? 512 : first_code_point(piece.substr(at));
    if (length == 0) length = 1;
    const int byte = code_point < 512 ? letters.bytes[code_point] : -1;
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
    } else {
      bytes += piece.substr(at, length);
    }
    at += length;
  }
}

}  // namespace quantlane
