// Where on its way through a model a text makes values that are not finite.
#pragma once
#include <cstdint>
#include <span>

#include "core/threads.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

// `error` with the weight or the tensor that blame_inputs_of() finds for the first inputs that are
// NaN or infinite when `tokens` pass; where there are none, with a damaged weight if there is one.
Error blame_activations(Runtime& runtime, std::span<const std::int32_t> tokens, ThreadPool& pool,
                        Error error);

}  // namespace quantlane
