// The JSON of quantlane quantize and convert.
#include <utility>

#include "api/coverage_json.h"
#include "api/json_lists.h"
#include "core/json.h"
#include "quantlane/quantize.h"

namespace quantlane {
namespace {

Json transfers_json(const std::vector<TransferredMatrix>& transfers) {
  Json rows = Json::array();
  for (const TransferredMatrix& row : transfers) {
    rows.push(Json::object({{"tensor", row.tensor},
                            {"from", row.from},
                            {"to", row.to},
                            {"how", row.how},
                            {"deviation", row.deviation},
                            {"decoded_deviation", row.decoded_deviation},
                            {"differing", row.differing}}));
  }
  return rows;
}

}  // namespace

std::string to_json(const QuantizeResult& result) {
  Json types = Json(Json::Object{});
  for (const auto& [type, count] : result.tensor_types) types.set(type, count);
  Json files = Json::array();
  for (const auto& file : result.files) files.push(file.string());
  return Json::object({{"lane", result.lane},
                       {"artifact", result.artifact.string()},
                       {"files", std::move(files)},
                       {"format", result.format},
                       {"size_bytes", result.size_bytes},
                       {"source_bytes", result.source_bytes},
                       {"bits_per_weight", result.bits_per_weight},
                       {"seconds", result.seconds},
                       {"calibration_seconds", result.calibration_seconds},
                       {"total_seconds", result.total_seconds},
                       {"peak_rss_bytes", result.peak_rss_bytes},
                       {"tensor_types", std::move(types)},
                       {"transfers", transfers_json(result.transfers)},
                       {"experts", coverage_json(result.experts)},
                       {"idle_columns", channels_json(result.idle_columns)},
                       {"zero_rows", channels_json(result.zero_rows)},
                       {"notices", json_of(result.notices)}})
      .dump(2);
}

std::string to_json(const QuantizePlan& plan) {
  return Json::object({{"lane", plan.lane},
                       {"size_bytes", plan.size_bytes},
                       {"source_bytes", plan.source_bytes},
                       {"bits_per_weight", plan.bits_per_weight},
                       {"files", plan.files},
                       {"tensors", json_of(plan.tensors)},
                       {"notices", json_of(plan.notices)}})
      .dump(2);
}

}  // namespace quantlane
