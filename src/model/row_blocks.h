// Decoded rows that an edit mixes with each other: made once, kept for those who ask for the next
// few rows of the same block.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace quantlane {

// Thread-safe. Keeps the blocks used last, at most `bytes` of them and at least one.
class RowBlocks {
 public:
  explicit RowBlocks(std::uint64_t bytes = std::uint64_t{256} << 20) : most_bytes_(bytes) {}
  using Block = std::shared_ptr<const std::vector<float>>;
  // The block `index` of the weights under the edit `edit` and those before it; `make` is called
  // where it is not kept, by one of those who ask while the others wait.
  Block get(const void* edit, std::int64_t index, const std::function<std::vector<float>()>& make);

 private:
  struct Entry {
    std::mutex mutex;  // guards block
    Block block;
  };
  struct Kept {
    const void* edit;
    std::int64_t index;
    std::uint64_t bytes;  // 0: being made
    std::shared_ptr<Entry> entry;
  };
  std::shared_ptr<Entry> entry_of(const void* edit, std::int64_t index);
  void keep(const Entry& entry, std::uint64_t bytes);
  const std::uint64_t most_bytes_;
  std::mutex mutex_;      // guards kept_
  std::list<Kept> kept_;  // used last in front
};

}  // namespace quantlane
