// compare --adapter: the reference is base + adapter; what that does to the ranges of activations.
#include "api/adapted.h"
#include "api/comparison.h"
#include "calibrate/collect.h"
#include "core/check.h"
#include "core/file.h"
#include "eval/layer_errors.h"
#include "eval/lost_edits.h"

namespace quantlane {
namespace {

double largest_of(const Statistics& statistics, std::string_view module) {
  const auto found = statistics.modules().find(module);
  if (found == statistics.modules().end()) return 0;
  double largest = 0;
  for (const float value : found->second.absmax) {
    largest = std::max(largest, static_cast<double>(value));
  }
  return largest;
}

}  // namespace

Result<void> Comparison::merge_adapter() {
  if (!options_.adapter) return {};
  if (options_.imatrix) {
    return refuse_stale_calibration(*options_.imatrix, *options_.adapter, "--imatrix");
  }
  base_ = reference_;
  QUANTLANE_TRY(const Adapter adapter, read_adapter(*options_.adapter, *base_));
  QUANTLANE_TRY(const BoundAdapter bound, bind_adapter(adapter, base_, pool_));
  for (const std::string& notice : bound.notices) progress_.notice(notice);
  reference_ = bound.merged;
  report_.adapter = AdapterReport{.path = *options_.adapter,
                                  .format = adapter.format,
                                  .tensors = static_cast<std::int64_t>(adapter.tensor_count()),
                                  .parameters = static_cast<std::int64_t>(bound.accounts.size()),
                                  .shifts = {}};
  return {};
}

Result<void> Comparison::check_adapted(const Checkpoint& artefact) const {
  if (base_ == nullptr) return {};
  QUANTLANE_TRY(const MadeFrom made, artefact_made_from(artefact, *reference_, *base_));
  if (made == MadeFrom::kBase) {
    return fail(invalid("comparing an existing artefact")
                    .in(artefact.path().string())
                    .expects("one of the base with " + options_.adapter->string())
                    .got("weights of the base alone: scales and ranges of inputs were calibrated "
                         "without the adapter")
                    .advise("quantlane quantize --adapter merges before it calibrates; name a lane "
                            "instead of the artefact, or leave --adapter out"));
  }
  if (made == MadeFrom::kUnclear) {
    progress_.notice(artefact.path().string() +
                     ": its weights do not show whether it was made with the adapter");
  }
  return {};
}

Result<void> Comparison::measure_activation_shift() {
  if (base_ == nullptr) return {};
  QUANTLANE_TRY(const std::string base_hash, base_->content_hash());
  const std::string key = make_key(
      {base_hash, calibration_.text, std::to_string(kCalibrationChunks), report_.tool_version});
  const fs::path file = store_.path("calibration-base.safetensors");
  Statistics base;
  auto kept = store_.find("calibration-base", key) ? Statistics::load(file)
                                                   : Result<Statistics>(std::unexpected(Error()));
  if (kept) {
    base = std::move(*kept);
  } else {
    QUANTLANE_TRY(const TokenChunks chunks,
                  calibration_chunks(*base_, calibration_, kCalibrationChunks));
    QUANTLANE_TRY(const auto runtime, load(base_));
    QUANTLANE_TRY(base, collect_statistics(*runtime, chunks, pool_, progress_));
    QUANTLANE_TRY_VOID(base.save(file));
    QUANTLANE_TRY_VOID(store_.put("calibration-base", key, Json::object({})));
  }
  for (const Parameter& parameter : reference_->graph()->parameters) {
    if (!is_linear(parameter.role)) continue;
    ActivationShift shift{.layer = parameter.layer,
                          .role = std::string(linear_name(parameter.role)),
                          .base = largest_of(base, parameter.module()),
                          .adapted = largest_of(importances_->statistics, parameter.module())};
    if (shift.base <= 0 || shift.adapted <= 0) continue;
    shift.ratio = shift.adapted / shift.base;
    report_.adapter->shifts.push_back(std::move(shift));
  }
  return {};
}

}  // namespace quantlane
