// What a Checkpoint computes on first use, for checkpoint*.cpp only.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "model/checkpoint.h"
#include "model/row_blocks.h"

namespace quantlane {

struct Checkpoint::Cache {
  std::mutex mutex;  // guards the hash and the tokenizer
  std::string content_hash;
  std::shared_ptr<const Tokenizer> tokenizer;
  const std::shared_ptr<RowBlocks> row_blocks = std::make_shared<RowBlocks>();  // its own guard
};

}  // namespace quantlane
