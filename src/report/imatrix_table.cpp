// An importance matrix for a terminal: one line for each weight.
#include <fmt/format.h>

#include "quantlane/imatrix.h"
#include "report/text_table.h"

namespace quantlane {
namespace {

TextTable table_of(const std::vector<ImatrixTensor>& tensors) {
  TextTable table;
  table.columns = {{.header = "tensor", .align_right = false},
                   {.header = "layer"},
                   {.header = "columns", .optional = 5},
                   {.header = "tokens", .optional = 4},
                   {.header = "Σ x²"},
                   {.header = "min", .optional = 3},
                   {.header = "max", .optional = 2},
                   {.header = "mean", .optional = 6},
                   {.header = "sigma", .optional = 7},
                   {.header = "active"},
                   {.header = "entropy", .optional = 1},
                   {.header = "outliers", .optional = 8},
                   {.header = "cosine"}};
  for (const ImatrixTensor& row : tensors) {
    table.rows.push_back({{.text = row.tensor},
                          {.text = row.layer < 0 ? "-" : std::to_string(row.layer)},
                          {.text = std::to_string(row.columns)},
                          {.text = std::to_string(row.tokens)},
                          {.text = fmt::format("{:.4g}", row.sum)},
                          {.text = fmt::format("{:.3g}", row.min)},
                          {.text = fmt::format("{:.3g}", row.max)},
                          {.text = fmt::format("{:.3g}", row.mean)},
                          {.text = fmt::format("{:.3g}", row.sigma)},
                          {.text = fmt::format("{:.1f} %", 100 * row.active)},
                          {.text = fmt::format("{:.2f}", row.entropy)},
                          {.text = fmt::format("{:.1f} %", 100 * row.outliers)},
                          {.text = row.cosine ? fmt::format("{:.4f}", *row.cosine) : "-"}});
  }
  return table;
}

}  // namespace

std::string to_table(const ImatrixReport& report, int width) {
  const ImatrixResult& file = report.file;
  std::string text = fmt::format("{}: {}, {} entries, {} chunks{}\n", file.path.string(),
                                 file.format, file.entries, file.chunk_count,
                                 file.chunk_size > 0 ? fmt::format(" of {} tokens", file.chunk_size)
                                                     : " of a size that the file does not say");
  for (const std::string& dataset : file.datasets) text += "text: " + dataset + "\n";
  if (file.experts) text += "experts: " + to_text(*file.experts) + "\n";
  text += "\n" + layout(table_of(report.tensors), static_cast<std::size_t>(width), false);
  for (const std::string& notice : file.notices) text += "\nwarning: " + notice;
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace quantlane
