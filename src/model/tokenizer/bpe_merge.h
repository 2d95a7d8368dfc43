// The merging loop that every BPE shares: adjacent symbols are joined, best rank first and leftmost
// among equals, until no pair has a rank. O(n log n) in the number of symbols.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace quantlane {

// A run of bytes of the word being merged. size == 0: swallowed by a symbol to its left.
struct BpeSymbol {
  std::int32_t id = -1;  // -1: not in the vocabulary
  std::uint32_t begin = 0, size = 0;
  std::int32_t previous = -1, next = -1;
};

// What a pair becomes. rank < 0: the pair is not merged.
struct BpeMerge {
  std::int32_t rank = -1;  // lower is better
  std::int32_t id = -1;
};

// Buffers, kept between words.
struct BpeScratch {
  struct Candidate {
    std::int32_t rank, left, id;
    std::uint32_t size;  // of both symbols when the candidate was made
  };
  std::vector<BpeSymbol> symbols;
  std::vector<Candidate> heap;

  // Adds the next symbol of the word.
  void push(std::int32_t id, std::uint32_t begin, std::uint32_t size) {
    const auto index = static_cast<std::int32_t>(symbols.size());
    if (index > 0) symbols.back().next = index;
    symbols.push_back({.id = id, .begin = begin, .size = size, .previous = index - 1, .next = -1});
  }
  [[nodiscard]] BpeSymbol& at(std::int32_t index) {
    return symbols[static_cast<std::size_t>(index)];
  }
};

// Merges scratch.symbols in place; walk the result from symbol 0 along `next`. `merge_of(left,
// right)` returns the BpeMerge of two adjacent symbols.
template <class MergeOf>
void merge_symbols(BpeScratch& scratch, const MergeOf& merge_of) {
  using Candidate = BpeScratch::Candidate;
  const auto worse = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  };
  auto& heap = scratch.heap;
  heap.clear();
  const auto consider = [&](std::int32_t left) {
    const BpeSymbol& first = scratch.at(left);
    const BpeSymbol& second = scratch.at(first.next);
    const BpeMerge merge = merge_of(first, second);
    if (merge.rank < 0) return false;
    heap.push_back({merge.rank, left, merge.id, first.size + second.size});
    return true;
  };
  for (std::int32_t left = 0; left + 1 < static_cast<std::int32_t>(scratch.symbols.size());
       ++left) {
    consider(left);
  }
  std::make_heap(heap.begin(), heap.end(), worse);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), worse);
    const Candidate best = heap.back();
    heap.pop_back();
    BpeSymbol& left = scratch.at(best.left);
    if (left.size == 0 || left.next < 0) continue;
    BpeSymbol& right = scratch.at(left.next);
    // Symbols only grow, so an unchanged total means an unchanged pair.
    if (left.size + right.size != best.size) continue;
    left.id = best.id;
    left.size = best.size;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) scratch.at(left.next).previous = best.left;
    if (left.previous >= 0 && consider(left.previous)) {
      std::push_heap(heap.begin(), heap.end(), worse);
    }
    if (left.next >= 0 && consider(best.left)) std::push_heap(heap.begin(), heap.end(), worse);
  }
}

}  // namespace quantlane
