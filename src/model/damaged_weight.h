// Which weight made activations infinite or NaN.
#pragma once
#include <string>

#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

// `error` with the file, name, offset and place of the first value of `checkpoint` that is NaN or
// infinite; as it is where none is. Reads all weights.
Error blame_damaged_weight(const Checkpoint& checkpoint, Error error);

// The same where the inputs of `linear` are the first of the model that are not finite: where no
// weight is damaged, with the tensor whose results these inputs are.
Error blame_inputs_of(const Checkpoint& checkpoint, const Parameter& linear, Error error);

// Fails with the first weight of `checkpoint` that is NaN or infinite, for edits that would spread
// it over others: `attempted` is what they do. Reads all weights.
Result<void> check_finite_weights(const Checkpoint& checkpoint, std::string attempted,
                                  ThreadPool& pool);

// What stands against using the stored weight of `parameter`: why it cannot be read, or where it
// decodes to NaN or infinity; empty = nothing. Reads it whole.
std::string find_weight_damage(const Checkpoint& checkpoint, const Parameter& parameter);

}  // namespace quantlane
