// The key-value cache that a command asks for.
#pragma once
#include <string>

#include "api/defaults.h"
#include "core/threads.h"
#include "formats/kv_scheme.h"
#include "quantlane/progress.h"
#include "runtime/runtime.h"

namespace quantlane {

// The scheme for `runtime`'s model with scales calibrated on the beginning of `text`.
Result<KvRounding> calibrated_kv(Runtime& runtime, const KvScheme& scheme, const NamedText& text,
                                 ThreadPool& pool, Progress& progress);

// nullptr for "none", else find_kv_scheme().
Result<const KvScheme*> find_kv_scheme_or_none(const std::string& name);

// "": as the checkpoint says; "none": float32; else a name of kv_schemes(). Scales come from the
// checkpoint where it holds that scheme, else from the embedded calibration text.
Result<void> set_kv_cache(Runtime& runtime, const std::string& kv, ThreadPool& pool,
                          Progress& progress);

}  // namespace quantlane
