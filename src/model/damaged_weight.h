// Which weight made activations infinite or NaN.
#pragma once
#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

// `error` with the file, name and offset of the first tensor of `checkpoint` that holds a NaN or an
// infinity; as it is where none does. Reads all weights.
Error blame_damaged_weight(const Checkpoint& checkpoint, Error error);

}  // namespace quantlane
