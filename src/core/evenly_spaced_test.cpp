#include "core/evenly_spaced.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quantlane {
namespace {

TEST(EvenlySpaced, TakesAllOfFew) {
  EXPECT_THAT(evenly_spaced(3, 256), testing::ElementsAre(0, 1, 2));
  EXPECT_THAT(evenly_spaced(256, 256), testing::SizeIs(256));
  EXPECT_THAT(evenly_spaced(0, 256), testing::IsEmpty());
}

TEST(EvenlySpaced, ReachesFromTheFirstToTheLastStepAtDistancesThatDifferByOne) {
  for (const std::int64_t total : {17, 100, 151, 49152, 151936}) {
    const auto indices = evenly_spaced(total, 16);
    ASSERT_EQ(indices.size(), 16U);
    EXPECT_EQ(indices[0], 0);
    for (std::size_t i = 1; i <= indices.size(); ++i) {
      const std::int64_t next = i < indices.size() ? indices[i] : total;
      EXPECT_GE(next - indices[i - 1], total / 16) << total;
      EXPECT_LE(next - indices[i - 1], total / 16 + 1) << total;
    }
  }
}

}  // namespace
}  // namespace quantlane
