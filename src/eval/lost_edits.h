// Was an artefact made from a model, or from that model before it was edited (an adapter merged)?
#pragma once
#include <cstdint>

#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

enum class MadeFrom : std::uint8_t { kEdited, kBase, kUnclear };

// Compares rows of the matrices that `edited` changes with those of both models, up to a scaling of
// rows and columns, which lanes fold into layers before. kUnclear where no matrix is edited, where
// neither model explains the weights (rotations), or where rounding hides the edits. All three have
// one graph; kCorrupt where the artefact lacks a matrix.
Result<MadeFrom> artefact_made_from(const Checkpoint& artefact, const Checkpoint& edited,
                                    const Checkpoint& base);

}  // namespace quantlane
