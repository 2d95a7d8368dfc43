#include "report/text_table.h"

#include <algorithm>

#include "core/check.h"
#include "report/text_width.h"

namespace quantlane {
namespace {

struct Layout {
  std::vector<std::size_t> shown;   // indices of the columns
  std::vector<std::size_t> widths;  // of the shown columns
  std::size_t gap = 2;

  [[nodiscard]] std::size_t total() const {
    std::size_t sum = widths.empty() ? 0 : gap * (widths.size() - 1);
    for (const std::size_t width : widths) sum += width;
    return sum;
  }
};

// Line `number` of a text with line feeds; empty past its end.
std::string_view line_of(std::string_view text, std::size_t number) {
  for (; number > 0; --number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

std::size_t header_lines(const TextTable& table) {
  std::ptrdiff_t breaks = 0;
  for (const TableColumn& column : table.columns) {
    breaks = std::max(breaks, std::count(column.header.begin(), column.header.end(), '\n'));
  }
  return static_cast<std::size_t>(breaks) + 1;
}

std::size_t natural_width(const TextTable& table, std::size_t column) {
  std::size_t width = 1;
  const std::string& header = table.columns[column].header;
  for (std::size_t i = 0; i < header_lines(table); ++i) {
    width = std::max(width, text_width(line_of(header, i)));
  }
  for (const auto& row : table.rows) {
    QUANTLANE_CHECK(row.size() == table.columns.size());
    width = std::max(width, text_width(row[column].text));
  }
  return width;
}

// Narrows the columns that may be cut.
void cut(const TextTable& table, std::size_t width, Layout& layout) {
  for (std::size_t i = 0; i < layout.shown.size() && layout.total() > width; ++i) {
    const std::size_t least = table.columns[layout.shown[i]].least_width;
    if (least == 0 || layout.widths[i] <= least) continue;
    const std::size_t excess = layout.total() - width;
    layout.widths[i] = std::max(least, layout.widths[i] - std::min(layout.widths[i], excess));
  }
}

// The column to leave out next, or the number of shown columns when all must stay.
std::size_t least_needed(const TextTable& table, const Layout& layout) {
  std::size_t found = layout.shown.size();
  int rank = 0;
  for (std::size_t i = 0; i < layout.shown.size(); ++i) {
    const int optional = table.columns[layout.shown[i]].optional;
    if (optional <= rank) continue;
    rank = optional;
    found = i;
  }
  return found;
}

Layout fit(const TextTable& table, std::size_t width, std::vector<std::string>* left_out) {
  Layout layout;
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    layout.shown.push_back(column);
    layout.widths.push_back(natural_width(table, column));
  }
  if (layout.total() > width) layout.gap = 1;
  cut(table, width, layout);
  while (layout.total() > width) {
    const std::size_t out = least_needed(table, layout);
    if (out == layout.shown.size()) break;
    if (left_out != nullptr) {
      std::string header = table.columns[layout.shown[out]].header;
      std::replace(header.begin(), header.end(), '\n', ' ');
      left_out->push_back(std::move(header));
    }
    layout.shown.erase(layout.shown.begin() + static_cast<std::ptrdiff_t>(out));
    layout.widths.erase(layout.widths.begin() + static_cast<std::ptrdiff_t>(out));
  }
  // Whatever is left and still too wide (a terminal of a few columns) is cut from the right.
  for (std::size_t i = layout.widths.size(); i-- > 0 && layout.total() > width;) {
    layout.widths[i] -= std::min(layout.widths[i] - 1, layout.total() - width);
  }
  return layout;
}

std::string without_trailing_spaces(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::string table_line(const TextTable& table, const Layout& plan,
                       const std::vector<TableCell>& cells, bool color) {
  std::size_t count = plan.shown.size();
  while (count > 0 && cells[plan.shown[count - 1]].text.empty()) --count;
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t column = plan.shown[i];
    const TableCell& cell = cells[column];
    const TableColumn& look = table.columns[column];
    const std::string text = look.least_width > 0
                                 ? fit_middle(cell.text, plan.widths[i])
                                 : fit_width(cell.text, plan.widths[i], look.align_right);
    if (i > 0) out.append(plan.gap, ' ');
    out += inked(i + 1 == count ? without_trailing_spaces(text) : text, cell.ink, color);
  }
  return out + '\n';
}

}  // namespace

std::string inked(std::string_view text, Ink ink, bool color) {
  if (!color || ink == Ink::kPlain || text.empty()) return std::string(text);
  std::string_view code;
  switch (ink) {
    case Ink::kPlain:
      break;
    case Ink::kBold:
      code = "\033[1m";
      break;
    case Ink::kDim:
      code = "\033[2m";
      break;
    case Ink::kGood:
      code = "\033[32m";
      break;
    case Ink::kBad:
      code = "\033[31m";
      break;
    case Ink::kOpen:
      code = "\033[33m";
      break;
  }
  return std::string(code) + std::string(text) + "\033[0m";
}

std::string layout(const TextTable& table, std::size_t width, bool color,
                   std::vector<std::string>* left_out) {
  const Layout plan = fit(table, std::max<std::size_t>(width, 1), left_out);
  std::string out;
  for (std::size_t i = 0; i < header_lines(table); ++i) {
    std::vector<TableCell> cells;
    for (const TableColumn& column : table.columns) {
      cells.push_back({.text = std::string(line_of(column.header, i)), .ink = Ink::kBold});
    }
    out += table_line(table, plan, cells, color);
  }
  for (const auto& row : table.rows) out += table_line(table, plan, row, color);
  return out;
}

}  // namespace quantlane
