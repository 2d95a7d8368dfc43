// An artefact that exists already, as a lane of a comparison.
#pragma once
#include <memory>
#include <string>

#include "model/checkpoint.h"
#include "quantize/lanes/lane.h"
#include "quantlane/result.h"

namespace quantlane {

struct ExistingLane {
  Lane lane;  // named by its path; dialect, scheme and engines as found
  std::shared_ptr<const Checkpoint> checkpoint;
  std::string format;  // encodings of the Linears, most frequent first
};

// Is this a path rather than the name of a lane? It has a slash, ends in .gguf or is a folder with
// config.json.
bool names_artefact(const std::string& name);

// Opens it and detects its recipe. kInvalidArgument, naming what differs, when it was not made from
// `reference`: another architecture, shape, vocabulary or tokenizer, or embeddings that no rounding
// explains.
Result<ExistingLane> existing_lane(const std::string& path, const Checkpoint& reference);

}  // namespace quantlane
