#include "containers/dialects/bit_runs.h"

#include <numeric>

#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "core/rng.h"

namespace quantlane {
namespace {

std::vector<std::uint32_t> packed(const BitRuns& runs, const std::vector<std::uint8_t>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  std::vector<std::uint32_t> words(static_cast<std::size_t>(runs.words_for(count)), 0xFFFFFFFFU);
  pack_codes(runs, values.data(), count, reinterpret_cast<std::byte*>(words.data()), 1);
  return words;
}

// Words that other tools write: compressed-tensors (4 bits), GPTQModel (3 bits).
TEST(BitRuns, KnownWords) {
  std::vector<std::uint8_t> values(32);
  std::iota(values.begin(), values.end(), std::uint8_t{0});
  EXPECT_EQ(packed(BitRuns::dense(4), {values.begin(), values.begin() + 8}),
            std::vector<std::uint32_t>{0x76543210});
  for (std::uint8_t& value : values) value &= 7U;
  EXPECT_EQ(packed(BitRuns::dense(3), values),
            (std::vector<std::uint32_t>{0x88FAC688, 0xC688FAC6, 0xFAC688FA}));
  const std::vector<std::uint32_t> zeros =
      packed(BitRuns::dense(3), std::vector<std::uint8_t>(32, 4));
  EXPECT_EQ(zeros, (std::vector<std::uint32_t>{0x24924924, 0x49249249, 0x92492492}));
  EXPECT_EQ(packed(BitRuns::padded(3), values)[0], 0x08FAC688U);  // ten codes, two bits empty
}

TEST(BitRuns, EveryWidthCountAndStrideReadsBack) {
  Rng rng(1);
  for (int bits = 2; bits <= 8; ++bits) {
    for (const BitRuns& runs : {BitRuns::dense(bits), BitRuns::padded(bits)}) {
      for (const std::int64_t count : {0, 1, 7, 8, 10, 31, 32, 33, 63, 64, 100}) {
        for (const std::int64_t stride : {1, 3}) {
          std::vector<std::uint8_t> values(static_cast<std::size_t>(count));
          for (auto& value : values)
            value = static_cast<std::uint8_t>(rng.next() & ((1U << bits) - 1U));
          const std::int64_t words = runs.words_for(count);
          std::vector<std::uint32_t> stored(static_cast<std::size_t>(words * stride), 0xABABABABU);
          auto* bytes = reinterpret_cast<std::byte*>(stored.data());
          pack_codes(runs, values.data(), count, bytes, stride);
          std::vector<std::uint8_t> read(values.size());
          unpack_codes(runs, bytes, stride, count, read.data());
          EXPECT_EQ(read, values) << bits << " bits, " << count;
          for (std::size_t i = 0; i < stored.size(); ++i) {
            if (i % static_cast<std::size_t>(stride) != 0) {
              EXPECT_EQ(stored[i], 0xABABABABU);
            }
          }
        }
      }
    }
  }
}

TEST(BitRuns, CountsWords) {
  EXPECT_EQ(BitRuns::dense(3).words_for(4096), 384);
  EXPECT_EQ(BitRuns::padded(3).words_for(4096), 410);
  EXPECT_EQ(BitRuns::dense(3).words_for(33), 4);
  EXPECT_EQ(BitRuns::dense(5).words_for(32), 5);
  EXPECT_EQ(BitRuns::dense(4).words_for(9), 2);
  EXPECT_EQ(BitRuns::dense(8).words_for(0), 0);
}

}  // namespace
}  // namespace quantlane
