// The key-value stage of compare(): what a rounded cache costs, with the weights of the reference.
#include <memory>
#include <utility>
#include <vector>

#include "api/comparison.h"
#include "api/kv_request.h"
#include "api/labelled_progress.h"
#include "core/check.h"
#include "eval/score_text.h"

namespace quantlane {

Result<void> Comparison::measure_kv() {
  if (options_.kv.empty()) return {};
  QUANTLANE_TRY(const auto reference, load(reference_));
  std::vector<std::unique_ptr<Runtime>> runtimes;
  std::vector<ScoredRun> candidates;
  for (const std::string& name : options_.kv) {
    KvReport kv;
    QUANTLANE_TRY(const KvScheme* scheme, find_kv_scheme(name));
    kv.name = scheme->name;
    kv.what = scheme->what;
    kv.bits = scheme->bits;
    report_.kv.push_back(std::move(kv));
    QUANTLANE_TRY(auto runtime, load(reference_));
    QUANTLANE_TRY(runtime->kv(), calibrated_kv(*runtime, *scheme, calibration_, pool_, progress_));
    candidates.push_back({.runtime = runtime.get(), .scores = {}, .shape = {}});
    runtimes.push_back(std::move(runtime));
  }
  LabelledProgress progress(progress_, "key-value caches");
  QUANTLANE_TRY_VOID(score_text(reference.get(), candidates, chunks_, pool_, progress, {}));
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const EvalResult result = summarize(candidates[i].scores);
    report_.kv[i].ppl = result.ppl;
    if (result.divergence) report_.kv[i].divergence = *result.divergence;
    report_.tokens_scored = result.tokens_scored;
  }
  return {};
}

}  // namespace quantlane
