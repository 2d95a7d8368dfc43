// What a Checkpoint computes on first use, for checkpoint*.cpp only.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "model/checkpoint.h"

namespace quantlane {

struct Checkpoint::Cache {
  std::mutex mutex;  // guards everything below
  std::string content_hash;
  std::shared_ptr<const Tokenizer> tokenizer;
};

}  // namespace quantlane
