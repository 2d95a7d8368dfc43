#include "model/row_blocks.h"

#include <algorithm>
#include <utility>

namespace quantlane {

std::shared_ptr<RowBlocks::Entry> RowBlocks::entry_of(const void* edit, std::int64_t index) {
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find_if(
      kept_, [&](const Kept& kept) { return kept.edit == edit && kept.index == index; });
  if (found == kept_.end()) {
    kept_.push_front(
        {.edit = edit, .index = index, .bytes = 0, .entry = std::make_shared<Entry>()});
  } else {
    kept_.splice(kept_.begin(), kept_, found);
  }
  return kept_.front().entry;
}

// Takes the size down and forgets the oldest others; those that are being made have none and stay.
void RowBlocks::keep(const Entry& entry, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  std::uint64_t total = 0;
  for (auto kept = kept_.begin(); kept != kept_.end();) {
    if (kept->entry.get() == &entry) kept->bytes = bytes;
    total += kept->bytes;
    const bool goes = kept != kept_.begin() && kept->bytes > 0 && total > most_bytes_;
    kept = goes ? kept_.erase(kept) : std::next(kept);
  }
}

RowBlocks::Block RowBlocks::get(const void* edit, std::int64_t index,
                                const std::function<std::vector<float>()>& make) {
  const std::shared_ptr<Entry> entry = entry_of(edit, index);
  const std::scoped_lock lock(entry->mutex);
  if (entry->block == nullptr) {
    entry->block = std::make_shared<const std::vector<float>>(make());
    keep(*entry, entry->block->size() * sizeof(float));
  }
  return entry->block;
}

}  // namespace quantlane
