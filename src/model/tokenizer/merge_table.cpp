#include "model/tokenizer/merge_table.h"

#include <bit>

#include <fmt/format.h>

#include "core/check.h"

namespace quantlane {

MergeTable::MergeTable(std::size_t count)
    : slots_(std::bit_ceil(2 * count + 2)), shift_(64 - std::countr_zero(slots_.size())) {}

void MergeTable::add(std::int32_t left, std::int32_t right, BpeMerge merge) {
  const std::uint64_t key = pair_key(left, right);
  std::size_t slot = home(key);
  while (slots_[slot].key != kEmpty && slots_[slot].key != key) {
    slot = (slot + 1) & (slots_.size() - 1);
  }
  if (slots_[slot].key == kEmpty) slots_[slot] = {.key = key, .merge = merge};
}

Result<MergeTable> MergeTable::create(const std::vector<std::string>& merges, const PieceIds& ids) {
  MergeTable table(merges.size());
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const auto bad = [&](std::string found) {
      return fail(corrupt("reading the merges of a tokenizer")
                      .of(fmt::format("merges[{}]", rank))
                      .expects("two pieces of the vocabulary, separated by a space, whose "
                               "concatenation is in the vocabulary too")
                      .got(std::move(found)));
    };
    // A piece may begin with anything, so the first byte never separates.
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return bad(fmt::format("\"{}\"", merge));
    }
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    joined.assign(left).append(right);
    const auto left_id = ids.find(left), right_id = ids.find(right), id = ids.find(joined);
    for (const auto& [place, piece] :
         {std::pair{left_id, left}, {right_id, right}, {id, std::string_view(joined)}}) {
      if (place == ids.end()) {
        return bad(fmt::format("\"{}\", which is not in the vocabulary", piece));
      }
    }
    table.add(left_id->second, right_id->second,
              {.rank = static_cast<std::int32_t>(rank), .id = id->second});
  }
  return table;
}

}  // namespace quantlane
