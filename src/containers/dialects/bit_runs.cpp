#include "containers/dialects/bit_runs.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"

namespace quantlane {
namespace {

constexpr int kMostWords = 8;
constexpr int kMostValues = 32;

template <int kBits>
void split_word(std::uint32_t word, std::uint8_t* values) {
  for (int i = 0; i < 32 / kBits; ++i) {
    values[i] = static_cast<std::uint8_t>(word >> (i * kBits) & ((1U << kBits) - 1U));
  }
}

void split_run(const BitRuns& runs, const std::uint32_t* words, std::uint8_t* values) {
  if (runs.words == 1 && runs.bits == 4) return split_word<4>(words[0], values);
  if (runs.words == 1 && runs.bits == 8) return split_word<8>(words[0], values);
  if (runs.words == 1 && runs.bits == 2) return split_word<2>(words[0], values);
  const std::uint32_t mask = (1U << runs.bits) - 1U;
  for (int i = 0; i < runs.values; ++i) {
    const int bit = i * runs.bits;
    const int offset = bit % 32;
    std::uint32_t code = words[bit / 32] >> offset;
    if (offset + runs.bits > 32) code |= words[bit / 32 + 1] << (32 - offset);
    values[i] = static_cast<std::uint8_t>(code & mask);
  }
}

void join_run(const BitRuns& runs, const std::uint8_t* values, std::uint32_t* words) {
  for (int i = 0; i < runs.values; ++i) {
    const int bit = i * runs.bits;
    const int offset = bit % 32;
    words[bit / 32] |= static_cast<std::uint32_t>(values[i]) << offset;
    if (offset + runs.bits > 32) {
      words[bit / 32 + 1] |= static_cast<std::uint32_t>(values[i]) >> (32 - offset);
    }
  }
}

}  // namespace

BitRuns BitRuns::dense(int bits) {
  QUANTLANE_CHECK(bits >= 2 && bits <= 8);
  if (32 % bits == 0) return padded(bits);
  return {.bits = bits, .words = bits, .values = 32};
}

BitRuns BitRuns::padded(int bits) {
  QUANTLANE_CHECK(bits >= 2 && bits <= 8);
  return {.bits = bits, .words = 1, .values = 32 / bits};
}

std::int64_t BitRuns::words_for(std::int64_t count) const {
  const std::int64_t rest = count % values;
  return count / values * words +
         (words == 1 ? (rest + values - 1) / values : (rest * bits + 31) / 32);
}

void unpack_codes(const BitRuns& runs, const std::byte* words, std::int64_t stride,
                  std::int64_t count, std::uint8_t* values) {
  const std::int64_t word_count = runs.words_for(count);
  for (std::int64_t done = 0, word = 0; done < count; done += runs.values, word += runs.words) {
    std::array<std::uint32_t, kMostWords> run{};
    const auto present = std::min<std::int64_t>(runs.words, word_count - word);
    for (std::int64_t i = 0; i < present; ++i) {
      std::memcpy(&run[static_cast<std::size_t>(i)], words + 4 * (word + i) * stride, 4);
    }
    if (count - done >= runs.values) {
      split_run(runs, run.data(), values + done);
    } else {
      std::array<std::uint8_t, kMostValues> tail{};
      split_run(runs, run.data(), tail.data());
      std::copy_n(tail.data(), count - done, values + done);
    }
  }
}

void pack_codes(const BitRuns& runs, const std::uint8_t* values, std::int64_t count,
                std::byte* words, std::int64_t stride) {
  const std::int64_t word_count = runs.words_for(count);
  for (std::int64_t done = 0, word = 0; done < count; done += runs.values, word += runs.words) {
    std::array<std::uint8_t, kMostValues> codes{};
    std::copy_n(values + done, std::min<std::int64_t>(runs.values, count - done), codes.data());
    std::array<std::uint32_t, kMostWords> run{};
    join_run(runs, codes.data(), run.data());
    const auto present = std::min<std::int64_t>(runs.words, word_count - word);
    for (std::int64_t i = 0; i < present; ++i) {
      std::memcpy(words + 4 * (word + i) * stride, &run[static_cast<std::size_t>(i)], 4);
    }
  }
}

}  // namespace quantlane
