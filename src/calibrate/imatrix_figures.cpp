#include "calibrate/imatrix_figures.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "calibrate/layer_name.h"

namespace quantlane {
namespace {

constexpr double kActive = 1e-5;  // llama.cpp's threshold
constexpr std::string_view kWeight = ".weight";

// "blk.3.attn_q.weight" -> layer 3, "attn_q".
void read_name(const std::string& name, ImatrixTensor& row) {
  row.name = name;
  std::string_view rest = name;
  if (const auto found = layer_in(name)) {
    row.layer = found->layer;
    rest = found->rest;
  }
  if (rest.ends_with(kWeight)) rest.remove_suffix(kWeight.size());
  row.tensor = rest;
}

// "blk.3.attn_q.weight" -> "blk.2.attn_q.weight"; the name has a layer, not the first.
std::string in_previous_layer(const std::string& name) {
  const LayerName place = *layer_in(name);
  const std::size_t behind = name.size() - place.rest.size() - 1;
  const std::size_t before = behind - std::to_string(place.layer).size();
  return name.substr(0, before) + std::to_string(place.layer - 1) + name.substr(behind);
}

// Mean squares of the columns of all matrices that saw a token.
std::vector<double> means_of(const ImatrixEntry& entry) {
  std::vector<double> means;
  for (std::size_t i = 0; i < entry.sums.size(); ++i) {
    const std::int64_t count = entry.counts[i / entry.values_per_count()];
    if (count > 0) means.push_back(entry.sums[i] / static_cast<double>(count));
  }
  return means;
}

void fill(const std::vector<double>& means, ImatrixTensor& row) {
  const auto n = static_cast<double>(means.size());
  row.columns = static_cast<std::int64_t>(means.size());
  row.min = *std::ranges::min_element(means);
  row.max = *std::ranges::max_element(means);
  double squares = 0;
  double active = 0;
  for (const double a : means) {
    row.sum += a;
    squares += a * a;
    active += a > kActive ? 1 : 0;
    row.zeros += a == 0 ? 1 : 0;
  }
  row.mean = row.sum / n;
  row.active = active / n;
  row.sigma = std::sqrt(std::max(0.0, squares / n - row.mean * row.mean));
  double outliers = 0;
  for (const double a : means) {
    if (a > 0) row.entropy -= a / row.sum * std::log2(a / row.sum);
    outliers += row.sigma > 0 && a - row.mean > row.sigma ? 1 : 0;
  }
  row.outliers = outliers / n;
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return aa > 0 && bb > 0 ? ab / (std::sqrt(aa) * std::sqrt(bb)) : 0;
}

}  // namespace

std::vector<ImatrixTensor> imatrix_figures(const Imatrix& imatrix) {
  std::vector<ImatrixTensor> rows;
  for (const auto& [name, entry] : imatrix.entries) {
    if (entry.max_count() == 0) continue;
    ImatrixTensor row;
    read_name(name, row);
    row.tokens = entry.max_count();
    fill(means_of(entry), row);
    if (row.layer > 0) {
      const auto previous = imatrix.entries.find(in_previous_layer(name));
      if (previous != imatrix.entries.end() && previous->second.sums.size() == entry.sums.size()) {
        row.cosine = cosine(entry.sums, previous->second.sums);
      }
    }
    rows.push_back(std::move(row));
  }
  std::ranges::sort(rows, [](const ImatrixTensor& a, const ImatrixTensor& b) {
    return std::tie(a.tensor, a.layer, a.name) < std::tie(b.tensor, b.layer, b.name);
  });
  return rows;
}

}  // namespace quantlane
