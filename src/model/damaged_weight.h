// Which weight made activations infinite or NaN.
#pragma once
#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

// `error` with the file, name, offset and place of the first value of `checkpoint` that is NaN or
// infinite; as it is where none is. Reads all weights.
Error blame_damaged_weight(const Checkpoint& checkpoint, Error error);

// The same where the inputs of `linear` are the first of the model that are not finite: where no
// weight is damaged, with the tensor whose results these inputs are.
Error blame_inputs_of(const Checkpoint& checkpoint, const Parameter& linear, Error error);

}  // namespace quantlane
