#include "cli/quantize_output.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <fmt/format.h>

namespace quantlane::cli {
namespace {

// Matrices that got into the artefact in the same way.
struct TransferSum {
  std::int64_t matrices = 0;
  std::int64_t differing = 0;
  double squared_error = 0;
  double squared_norm = 0;
  double decoded_squared_error = 0;
  double decoded_squared_norm = 0;
  const TransferredMatrix* worst = nullptr;
  void add(const TransferredMatrix& row) {
    ++matrices;
    differing += row.differing;
    squared_error += row.squared_error;
    squared_norm += row.squared_norm;
    decoded_squared_error += row.decoded_squared_error;
    decoded_squared_norm += row.decoded_squared_norm;
    if (worst == nullptr || row.deviation > worst->deviation) worst = &row;
  }
};

double relative(double squared_error, double squared_norm) {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0;
}

std::string deviation_text(const TransferSum& sum) {
  const double decoded = relative(sum.decoded_squared_error, sum.decoded_squared_norm);
  const double deviation = relative(sum.squared_error, sum.squared_norm);
  if (sum.differing == 0 && decoded == 0) return "every weight is the source's";
  std::string text = sum.differing == 0
                         ? "codes and scales are the source's"
                         : fmt::format("{:.2g} off the source (relative RMSE), at most {:.2g} ({})",
                                       deviation, sum.worst->deviation, sum.worst->tensor);
  if (decoded == deviation) return text;
  return text + fmt::format(
                    "; decoded weights are {:.2g} off (relative RMSE), as engines round "
                    "products of the two formats otherwise",
                    decoded);
}

// One line for each way in which matrices of a quantized source got into the artefact.
void print_transfers(const std::vector<TransferredMatrix>& transfers) {
  std::map<std::string, TransferSum> sums;
  for (const TransferredMatrix& row : transfers)
    sums[fmt::format("{:<12} {} -> {}", row.how, row.from, row.to)].add(row);
  for (const auto& [how, sum] : sums)
    print_line(fmt::format("{}, {} matrices: {}", how, sum.matrices, deviation_text(sum)));
}

}  // namespace

void print_quantized(const QuantizeResult& result, const Io& io) {
  if (io.json) {
    print_line(to_json(result));
    return;
  }
  const double rate =
      result.seconds > 0 ? static_cast<double>(result.source_bytes) / result.seconds / 1e6 : 0;
  print_line(fmt::format("{:<12} {}", "artefact", result.artifact.string()));
  if (result.files.size() > 1) {
    print_line(fmt::format("{:<12} {}", "files", result.files.size()));
  }
  print_line(fmt::format("{:<12} {}", "format", result.format));
  print_line(fmt::format("{:<12} {:.1f} MB, {:.3f} bits per weight", "size",
                         static_cast<double>(result.size_bytes) / 1e6, result.bits_per_weight));
  if (result.experts) print_line(fmt::format("{:<12} {}", "experts", to_text(*result.experts)));
  print_transfers(result.transfers);
  const std::string calibration =
      result.calibration_seconds > 0
          ? fmt::format("{:.2f} s calibration, ", result.calibration_seconds)
          : "";
  print_line(fmt::format(
      "{:<12} {:.2f} s: {}{:.2f} s quantizing ({:.0f} MB/s of the source), {:.2f} s else", "time",
      result.total_seconds, calibration, result.seconds, rate,
      std::max(0.0, result.total_seconds - result.calibration_seconds - result.seconds)));
}

void declare_split(Options& options, SplitOptions& split) {
  options.flag("--keep-split", split.keep, "as many files as the source has (GGUF)");
  options.size("--split-max-size", split.max_size,
               "cut GGUF files into several of at most SIZE each (default: one file)");
  options.size("--shard-size", split.shard_size,
               "cut the weights of folders into files of at most SIZE each, with an index, as in "
               "--shard-size 5GB; not for GGUF (default: as many files as the source has)");
}

}  // namespace quantlane::cli
