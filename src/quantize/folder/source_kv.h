// The key-value cache scheme that a source has, for the artefact that is made of it.
#pragma once
#include <string>

#include "quantize/pipeline.h"

namespace quantlane {

struct SourceKv {
  KvRounding kv = {};     // to be written; none where the source has none or `lost` says why not
  std::string lost = {};  // a notice
};

// Scheme and scales as the source has them, unless the job brings its own or drops them. They are
// lost where the files of the lane have no place for them or the architecture is not known, and
// calibrated ones where weights were edited: an adapter or a transform moves the ranges of keys and
// values. Errors are those of damaged scales.
Result<SourceKv> source_kv(const QuantizeJob& job);

}  // namespace quantlane
