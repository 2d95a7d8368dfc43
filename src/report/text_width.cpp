#include "report/text_width.h"

#include <algorithm>
#include <utility>

namespace quantlane {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = true;
};

// The first character of `text` (not empty). Refuses overlong forms, surrogates and codes above
// U+10FFFF (Unicode 15, table 3-7).
Character first_character(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {.code = lead};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  const Character invalid{.code = 0xFFFD, .bytes = 1, .valid = false};
  if (lead < 0xC2 || lead > 0xF4 || bytes > text.size()) return invalid;
  char32_t code = lead & (0x7Fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0u) != 0x80) return invalid;
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  if (overlong || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return invalid;
  return {.code = code, .bytes = bytes};
}

struct Range {
  char32_t first;
  char32_t last;
};

// Blocks that take no column of their own: combining marks, joiners, variation selectors.
constexpr Range kZeroWidth[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x093C, 0x093C}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x20D0, 0x20FF},
    {0x2060, 0x2064}, {0x3099, 0x309A}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}};
// Blocks of East Asian Width W or F (Unicode Annex 11), emoji included.
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},  {0x23E9, 0x23EC}, {0x2E80, 0x303E},   {0x3041, 0x33FF},
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},  {0xA000, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},
    {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},  {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
    {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

template <std::size_t N>
bool within(char32_t code, const Range (&ranges)[N]) {
  for (const Range& range : ranges) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

std::size_t columns(char32_t code) {
  if (code < 0x20 || (code >= 0x7F && code < 0xA0) || within(code, kZeroWidth)) return 0;
  return within(code, kWide) ? 2 : 1;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character c = first_character(text);
    out += c.valid ? text.substr(0, c.bytes) : std::string_view("\uFFFD");
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character c = first_character(text);
    const bool is_control = c.code < 0x20 || (c.code >= 0x7F && c.code < 0xA0);
    if (is_control) {
      out += ' ';
    } else {
      out += c.valid ? text.substr(0, c.bytes) : std::string_view("\uFFFD");
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::size_t text_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Character c = first_character(text);
    width += columns(c.code);
    text.remove_prefix(c.bytes);
  }
  return width;
}

std::string fit_middle(std::string_view text, std::size_t width) {
  const std::size_t used = text_width(text);
  constexpr std::size_t kLeast = 3;  // one column at each end
  if (used <= width || width < kLeast) return fit_width(text, width);
  // The end tells artefacts apart, so it gets the larger part.
  const std::size_t head = (width - 1) / 3;
  std::string_view tail = text;
  for (std::size_t left = used; left + head + 1 > width;) {
    const Character c = first_character(tail);
    left -= columns(c.code);
    tail.remove_prefix(c.bytes);
  }
  std::string kept = fit_width(text, head + 1);
  kept.erase(kept.find_last_not_of(' ') + 1);  // a wide character that did not fit
  return fit_width(kept + std::string(tail), width);
}

std::string fit_width(std::string_view text, std::size_t width, bool align_right) {
  std::string kept(text);
  std::size_t used = text_width(text);
  if (used > width) {
    kept.clear();
    used = 0;
    while (!text.empty() && width > 0) {
      const Character c = first_character(text);
      if (used + columns(c.code) + 1 > width) break;
      kept += text.substr(0, c.bytes);
      used += columns(c.code);
      text.remove_prefix(c.bytes);
    }
    if (width > 0) {
      kept += "…";
      ++used;
    }
  }
  const std::string padding(width - used, ' ');
  return align_right ? padding + kept : kept + padding;
}

std::vector<std::string> wrap_text(std::string_view text, std::size_t width) {
  width = std::max<std::size_t>(width, 1);
  std::vector<std::string> lines;
  std::string line;
  std::size_t used = 0;
  const auto end_line = [&] {
    lines.push_back(std::move(line));
    line.clear();
    used = 0;
  };
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    if (word.empty()) continue;
    if (used > 0 && used + 1 + text_width(word) > width) end_line();
    if (used > 0) {
      line += ' ';
      ++used;
    }
    while (!word.empty()) {
      const Character c = first_character(word);
      if (used > 0 && used + columns(c.code) > width) end_line();
      line += word.substr(0, c.bytes);
      used += columns(c.code);
      word.remove_prefix(c.bytes);
    }
  }
  if (!line.empty()) end_line();
  return lines;
}

}  // namespace quantlane
