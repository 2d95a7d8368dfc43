// Where rotations can be merged into the weights so that the model's function stays as it is: R1
// and R2 of SpinQuant (Liu et al. 2024, section 3.1), QuaRot's stages 1a and 1b (Ashkboos et al.
// 2024, section 4). docs/algorithms/rotations.md.
#pragma once
#include <memory>
#include <string>

#include "model/checkpoint.h"
#include "model/rotation.h"

namespace quantlane {

// The edits that turn the values of every head by `rotation` [head_dim]: the rows of v and its
// bias, and to match the columns of o. Exact for every family. Added to `edits`, as below.
void add_value_rotation(const Graph& graph, const std::shared_ptr<const Rotation>& rotation,
                        WeightEdits& edits);

// Why the residual stream of such a model cannot be turned; empty where it can.
std::string stream_rotation_obstacle(const ModelConfig& config);

// The edits that turn the residual stream by `rotation` [hidden_size]: what writes to it
// (embeddings, o, down, the bias of o) and what reads it (q, k, v, gate, up, routers, the head),
// which takes over the gains of the norm before it: these become 1. Requires that there is no
// obstacle, and that `edits` have no factors of these columns or rows yet.
Result<void> add_stream_rotation(const Checkpoint& source,
                                 const std::shared_ptr<const Rotation>& rotation,
                                 WeightEdits& edits);

}  // namespace quantlane
