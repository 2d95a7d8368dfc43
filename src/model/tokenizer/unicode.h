// UTF-8 and Unicode normalization (utf8proc behind unicode.cpp).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace quantlane {

// Bytes (1 to 4) of the UTF-8 character at `text[at]`; 0 where the bytes there are not one
// (overlong forms, surrogates and values above U+10FFFF included). `at` < text.size().
std::size_t utf8_length(std::string_view text, std::size_t at);
// The same for text known to be valid: decided by the first byte alone.
inline std::size_t valid_utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0xC0 ? 1U : byte < 0xE0 ? 2U : byte < 0xF0 ? 3U : 4U;
}
bool is_valid_utf8(std::string_view text);
// `text` with every byte that belongs to no UTF-8 character replaced by U+FFFD.
std::string repair_utf8(std::string_view text);
void append_utf8(char32_t code_point, std::string& text);
// Code point of the character at the start of `text` (valid UTF-8, not empty).
char32_t first_code_point(std::string_view text);

// Normalization Form C of valid UTF-8.
std::string nfc(std::string_view text);
// False only when nfc() would return `text` itself; cheap.
bool may_change_under_nfc(std::string_view text);
// White_Space of the Unicode character database.
bool is_white_space(char32_t code_point);

}  // namespace quantlane
