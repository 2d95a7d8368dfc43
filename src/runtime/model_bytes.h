// What the weights of a checkpoint take of memory when they are bound.
#pragma once
#include <cstdint>

#include "model/checkpoint.h"

namespace quantlane {

struct ModelBytes {
  std::uint64_t resident = 0;      // unpacked: Linears of a dialect, vectors
  std::uint64_t mapped = 0;        // pages of files, which the system takes back as it needs
  std::uint64_t mapped_layer = 0;  // of them in the largest layer
  std::uint64_t mapped_ends = 0;   // of them in embedding and head
};
// Of a checkpoint with a graph. Reads no weight.
ModelBytes model_bytes(const Checkpoint& checkpoint);

}  // namespace quantlane
