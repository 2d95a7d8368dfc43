// What no healthy checkpoint holds, found by reading a tensor from end to end.
#pragma once
#include <string>

#include "containers/container.h"

namespace quantlane {

// The first of: NaN or infinity, a scale that is zero (of dialects, and of blocks that have codes
// all the same), a code or scale that the block type does not have; with its place. Empty where the
// tensor is sound or holds no floats. By the scalar decoders.
std::string find_damage(const Container& container, const TensorInfo& tensor);

}  // namespace quantlane
