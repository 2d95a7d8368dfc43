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

Result<const KvScheme*> find_kv_scheme_or_none(const std::string& name) {
  if (name == "none") return nullptr;
  auto scheme = find_kv_scheme(name);
  if (!scheme) scheme.error().expected += ", or none";
  return scheme;
}

Result<void> set_kv_cache(Runtime& runtime, const std::string& kv, ThreadPool& pool,
                          Progress& progress) {
  if (kv.empty()) return {};
  QUANTLANE_TRY(const KvScheme* scheme, find_kv_scheme_or_none(kv));
  if (scheme == nullptr) {
    runtime.kv() = {};
    return {};
  }
  if (runtime.kv().scheme == scheme) return {};
  QUANTLANE_TRY(const NamedText text, calibration_text(std::nullopt));
  QUANTLANE_TRY(runtime.kv(), calibrated_kv(runtime, *scheme, text, pool, progress));
  return {};
}

}  // namespace quantlane
