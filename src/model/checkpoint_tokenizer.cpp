#include <utility>

#include "core/check.h"
#include "model/checkpoint_cache.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane {

Result<std::shared_ptr<const Tokenizer>> Checkpoint::tokenizer() const {
  const std::scoped_lock lock(cache_->mutex);
  if (cache_->tokenizer) return cache_->tokenizer;
  auto spec = config_json_.is_null() ? read_tokenizer_gguf(container_->metadata(), path_.string())
                                     : read_tokenizer_folder(folder());
  if (!spec) return std::unexpected(std::move(spec).error());
  QUANTLANE_TRY(std::unique_ptr<Tokenizer> tokenizer, make_tokenizer(std::move(*spec)));
  cache_->tokenizer = std::move(tokenizer);
  return cache_->tokenizer;
}

}  // namespace quantlane
