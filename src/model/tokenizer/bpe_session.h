// What one call of encode() keeps, whichever BPE it is: the tokens so far, and of every word where
// its tokens are, so that a word is merged once.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/bpe_merge.h"
#include "model/tokenizer/unicode.h"

namespace quantlane {

struct BpeSession {
  std::vector<std::int32_t> ids;
  // Words seen: where in `ids` their tokens are, and how many.
  std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> seen;
  std::deque<std::string> buffers;  // texts that `seen` refers to
  BpeScratch scratch;

  // `encode_fragment(part, at_start)` adds the tokens of each part of `text` between added tokens.
  template <class EncodeFragment>
  void encode(std::string_view text, bool parse_special, const AddedTokens& added,
              const EncodeFragment& encode_fragment) {
    if (!is_valid_utf8(text)) text = buffers.emplace_back(repair_utf8(text));
    ids.reserve(text.size() / 4 + 1);
    for (const Fragment& fragment : added.split(text, parse_special)) {
      if (fragment.id >= 0) {
        ids.push_back(fragment.id);
      } else {
        encode_fragment(text.substr(fragment.begin, fragment.end - fragment.begin),
                        fragment.begin == 0);
      }
    }
  }

  // Adds the tokens of `word`, a view that outlives the session: those that `encode_word(word)`
  // adds, or added before.
  template <class EncodeWord>
  void add(std::string_view word, const EncodeWord& encode_word) {
    const std::size_t first = ids.size();
    const auto [place, is_new] = seen.try_emplace(word, first, 0);
    auto& [from, count] = place->second;
    if (is_new) {
      encode_word(word);
      count = ids.size() - first;
    } else {
      ids.resize(first + count);
      std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(from), count,
                  ids.begin() + static_cast<std::ptrdiff_t>(first));
    }
  }
};

}  // namespace quantlane
