// What inspection says of a quantized folder: how its Linears are stored, and what of their values
// no other command could use.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantlane/checkpoint.h"
#include "quantlane/progress.h"
#include "recommend/preflight_facts.h"

namespace quantlane {

// `facts`: of the same folder; they tell the Linears where the architecture is unknown.
StoredSchemes stored_schemes(const Checkpoint& checkpoint, const ArtefactFacts& facts);

// Quantized Linears that cannot be decoded to finite weights, those named in `known` left out.
// Reads all of them.
Result<std::vector<std::string>> find_unusable_weights(const Checkpoint& checkpoint,
                                                       std::span<const std::string> known,
                                                       ThreadPool& pool, Progress& progress);

// What is wrong with the scheme of the key-value cache and its scales, tensors named in `known`
// left out.
std::vector<std::string> find_kv_problems(const Checkpoint& checkpoint,
                                          std::span<const std::string> known);

}  // namespace quantlane
