// The merges of a BPE vocabulary as a hash table over pairs of ids.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/tokenizer/bpe_merge.h"
#include "quantlane/result.h"

namespace quantlane {

// Piece -> id; the views are those of the TokenizerSpec that it was made from.
using PieceIds = std::unordered_map<std::string_view, std::int32_t>;

class MergeTable {
 public:
  // Ranks are positions in `merges` ("left right"). kCorrupt names the first merge that is not two
  // pieces, or whose parts or result are not in `ids`. Of equal merges the first counts.
  static Result<MergeTable> create(const std::vector<std::string>& merges, const PieceIds& ids);
  // The merge of two ids; rank -1 where there is none, as for negative ids.
  [[nodiscard]] BpeMerge find(std::int32_t left, std::int32_t right) const {
    if (left < 0 || right < 0) return {};
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t slot = home(key);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot].key == key) return slots_[slot].merge;
      if (slots_[slot].key == kEmpty) return {};
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kEmpty;
    BpeMerge merge;
  };
  static std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  [[nodiscard]] std::size_t home(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15U) >> shift_);
  }
  explicit MergeTable(std::size_t count);
  void add(std::int32_t left, std::int32_t right, BpeMerge merge);

  std::vector<Slot> slots_;  // a power of two, at most half full
  int shift_ = 0;
};

}  // namespace quantlane
