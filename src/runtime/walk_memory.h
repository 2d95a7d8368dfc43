// What a LayerWalk takes of memory, and how it is made to take less.
#pragma once
#include <cstdint>
#include <memory>

#include "core/disk_room.h"
#include "model/config.h"

namespace quantlane {

struct WalkMemory {
  // Where the hidden states of all sequences lie between their turns (FloatStore::on_disk), for one
  // walk at a time; null: in memory.
  std::shared_ptr<ScratchFile> spill = {};
  // For inputs of down that are kept, which saves computing them once more.
  std::uint64_t kept_bytes = std::uint64_t{512} << 20;
};

// Bytes of a walk of `tokens` tokens in sequences of `chunk`. `streams`: 2 with the unquantized
// model beside, else 1.
struct WalkBytes {
  std::uint64_t hidden = 0;   // residual streams and attention outputs of all sequences
  std::uint64_t kept = 0;     // inputs of down of all sequences
  std::uint64_t buffers = 0;  // of the batch that is under way
};
WalkBytes walk_bytes(const ModelConfig& config, std::int64_t tokens, std::int64_t chunk,
                     std::int64_t streams);
// Floats of each token that what the unquantized down gives takes: of dense layers, where there are
// any.
std::int64_t walk_down_width(const ModelConfig& config);
// Tokens of all batches but the last.
std::int64_t walk_batch_tokens(std::int64_t tokens, std::int64_t chunk);

}  // namespace quantlane
