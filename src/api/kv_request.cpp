#include "api/kv_request.h"

#include <algorithm>

#include "calibrate/kv_ranges.h"
#include "core/check.h"

namespace quantlane {
namespace {

// Largest magnitudes settle quickly; engines calibrate on 512 samples because they calibrate
// everything else on them.
constexpr std::int64_t kChunk = 512;
constexpr std::int64_t kChunks = 16;

}  // namespace

Result<KvRounding> calibrated_kv(Runtime& runtime, const KvScheme& scheme, const NamedText& text,
                                 ThreadPool& pool, Progress& progress) {
  TokenChunks chunks;
  if (scheme.calibrated) {
    const std::int64_t longest = runtime.config().context_length;
    const std::int64_t chunk = longest > 0 ? std::min(kChunk, longest) : kChunk;
    QUANTLANE_TRY(chunks, make_chunks(runtime.checkpoint(), text.text, text.name, chunk, kChunks));
  }
  return calibrate_kv(runtime, chunks, scheme, pool, progress);
}

Result<void> set_kv_cache(Runtime& runtime, const std::string& kv, ThreadPool& pool,
                          Progress& progress) {
  if (kv.empty()) return {};
  if (kv == "none") {
    runtime.kv() = {};
    return {};
  }
  QUANTLANE_TRY(const KvScheme* scheme, find_kv_scheme(kv));
  if (runtime.kv().scheme == scheme) return {};
  QUANTLANE_TRY(const NamedText text, calibration_text(std::nullopt));
  QUANTLANE_TRY(runtime.kv(), calibrated_kv(runtime, *scheme, text, pool, progress));
  return {};
}

}  // namespace quantlane
