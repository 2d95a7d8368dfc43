// Aligned columns for a terminal.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quantlane {

enum class Ink { kPlain, kBold, kDim, kGood, kBad, kOpen };

// `text` between ANSI colour codes; unchanged when `color` is false or for kPlain.
std::string inked(std::string_view text, Ink ink, bool color);

struct TableColumn {
  std::string header;  // may have several lines
  bool align_right = true;
  // Columns with a higher number are left out first when the table is too wide; 0 = never.
  int optional = 0;
  // The column may be cut to this many columns of text before others are left out, texts in their
  // middle; 0 = never.
  std::size_t least_width = 0;
};

struct TableCell {
  std::string text;
  Ink ink = Ink::kPlain;
};

struct TextTable {
  std::vector<TableColumn> columns;
  std::vector<std::vector<TableCell>> rows;  // each of columns.size() cells
};

// The header and the rows, each line at most `width` columns and ended by a newline; headers of
// the columns left out are added to `left_out` when it is given.
std::string layout(const TextTable& table, std::size_t width, bool color,
                   std::vector<std::string>* left_out = nullptr);

}  // namespace quantlane
