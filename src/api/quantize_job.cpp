#include "api/quantize_job.h"

#include <utility>

#include "core/check.h"
#include "core/process_memory.h"
#include "eval/weight_deviation.h"

namespace quantlane {
namespace {

// The artefact as written against the quantized source.
Result<std::vector<TransferredMatrix>> measure_transfers(const QuantizeJob& job,
                                                         const QuantizeSummary& summary,
                                                         ThreadPool& pool, Progress& progress) {
  QUANTLANE_TRY(const auto artefact, Checkpoint::open(summary.files.front()));
  std::vector<std::string> names;
  for (const auto& [name, transfer] : summary.transfers) names.push_back(name);
  QUANTLANE_TRY(const auto deviations,
                measure_deviations(job.source, *artefact, names, pool, progress));
  std::vector<TransferredMatrix> transfers;
  for (const WeightDeviation& row : deviations) {
    transfers.push_back({.tensor = row.tensor,
                         .from = row.from,
                         .to = row.to,
                         .how = std::string(transfer_name(summary.transfers.at(row.tensor))),
                         .deviation = row.relative_rmse(),
                         .squared_error = row.squared_error,
                         .squared_norm = row.squared_norm,
                         .differing = row.differing,
                         .decoded_deviation = row.decoded_relative_rmse(),
                         .decoded_squared_error = row.decoded_squared_error,
                         .decoded_squared_norm = row.decoded_squared_norm});
  }
  return transfers;
}

}  // namespace

Result<QuantizeResult> run_job(const QuantizeJob& job, ThreadPool& pool, Progress& progress) {
  QUANTLANE_TRY(const QuantizeSummary summary, run_quantize(job, pool, progress));
  QuantizeResult result;
  result.lane = job.lane.name;
  result.artifact = summary.files.front();
  result.files = summary.files;
  result.format = summary.format;
  result.size_bytes = summary.size_bytes;
  result.bits_per_weight = summary.bits_per_weight;
  result.seconds = summary.seconds;
  result.source_bytes = job.source.size_bytes();
  result.peak_rss_bytes = peak_rss_bytes();
  result.tensor_types = summary.tensor_types;
  result.notices = summary.notices;
  result.experts = summary.experts;
  result.idle_columns = summary.idle_columns;
  result.zero_rows = summary.zero_rows;
  if (!summary.transfers.empty()) {
    QUANTLANE_TRY(result.transfers, measure_transfers(job, summary, pool, progress));
  }
  return result;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace quantlane
