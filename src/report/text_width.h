// Text in a terminal: columns instead of bytes.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quantlane {

// `text` with every byte that is not part of a valid UTF-8 sequence replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

// The same on one line: control characters, escape sequences of a terminal among them, become
// spaces.
std::string printable(std::string_view text);

// Columns that a terminal uses for `text`: 2 for East Asian wide characters and emoji, 0 for
// combining and control characters, else 1. Invalid bytes count 1.
std::size_t text_width(std::string_view text);

// `text` padded with spaces to `width` columns, on the right or (align_right) the left; longer
// text is cut and ends in "…".
std::string fit_width(std::string_view text, std::size_t width, bool align_right = false);

// The same without alignment, longer text cut in the middle: paths that differ at their ends stay
// apart.
std::string fit_middle(std::string_view text, std::size_t width);

// `text` in lines of at most `width` columns (at least 1), broken at spaces, within a word only
// where it is longer than a line.
std::vector<std::string> wrap_text(std::string_view text, std::size_t width);

}  // namespace quantlane
