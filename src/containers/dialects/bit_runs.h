// Codes of a few bits inside 32-bit words, the first in the lowest bits. A run is the least number
// of words after which codes begin at bit 0 again.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace quantlane {

struct BitRuns {
  int bits;    // 2..8
  int words;   // of one run
  int values;  // of one run

  // Codes follow each other without gaps, across words where 32 is no multiple of `bits`.
  static BitRuns dense(int bits);
  // Words hold 32 / bits codes each, their upper bits are empty.
  static BitRuns padded(int bits);
  // Words that `count` codes take.
  [[nodiscard]] std::int64_t words_for(std::int64_t count) const;
};

// Codes of `count` values from words [i * stride] (in words, any alignment) into values[0 ..
// count).
void unpack_codes(const BitRuns& runs, const std::byte* words, std::int64_t stride,
                  std::int64_t count, std::uint8_t* values);
// The reverse: words_for(count) words are written at words [i * stride].
void pack_codes(const BitRuns& runs, const std::uint8_t* values, std::int64_t count,
                std::byte* words, std::int64_t stride);

}  // namespace quantlane
