#include "recommend/memory_model.h"

#include <gtest/gtest.h>

#include "recommend/test_facts.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

TEST(MemoryModel, AddsWeightsCacheAndOverhead) {
  const MemoryNeed need =
      memory_need(kLlama8B, reference(kLlama8B), device("h100-sxm"), requests(3000, 1000, 8));
  EXPECT_NEAR(need.weights, 16.06e9, 1e7);
  EXPECT_NEAR(need.kv, 131072.0 * 4000 * 8, 1);
  EXPECT_GT(need.overhead, 1e9);
  EXPECT_NEAR(need.total(), need.weights + need.kv + need.overhead, 1);
  EXPECT_TRUE(need.fits());
}

TEST(MemoryModel, SeventyBillionParametersInSixteenBitNeedMoreThanOneH100) {
  const Device h100 = device("h100-sxm");
  const Workload chat = requests(3000, 1000, 1);
  EXPECT_FALSE(memory_need(kLlama70B, reference(kLlama70B), h100, chat).fits());
  EXPECT_TRUE(memory_need(kLlama70B, fp8(kLlama70B), h100, chat).fits());
  EXPECT_TRUE(memory_need(kLlama70B, fp8(kLlama70B), h100, chat).is_tight());
  EXPECT_FALSE(memory_need(kLlama70B, w4a16(kLlama70B), h100, chat).is_tight());
}

TEST(MemoryModel, TheCacheOfManyLongRequestsDominates) {
  EXPECT_TRUE(memory_need(kLlama8B, fp8(kLlama8B), device("h200-sxm"), requests(30000, 2000, 16))
                  .kv_dominates());
  EXPECT_FALSE(memory_need(kLlama8B, fp8(kLlama8B), device("h200-sxm"), requests(1000, 200, 4))
                   .kv_dominates());
}

TEST(MemoryModel, UnifiedMemoryKeepsAQuarterForTheSystem) {
  const MemoryNeed need =
      memory_need(kLlama8B, q4_k_m(kLlama8B), device("m4"), requests(1000, 200, 1));
  EXPECT_NEAR(need.usable, 24e9, 1);
}

TEST(MemoryModel, MostConcurrencyIsTheLastThatFits) {
  const Device d = device("rtx-4090");
  for (const LaneFacts& lane : six_lanes(kLlama8B)) {
    const Workload one = requests(3000, 1000, 1);
    const std::int64_t most = most_concurrency(kLlama8B, lane, d, one);
    ASSERT_GT(most, 0) << lane.name;
    EXPECT_TRUE(memory_need(kLlama8B, lane, d, requests(3000, 1000, most)).fits());
    EXPECT_FALSE(memory_need(kLlama8B, lane, d, requests(3000, 1000, most + 1)).fits());
  }
  EXPECT_EQ(most_concurrency(kLlama70B, reference(kLlama70B), d, requests(100, 10, 1)), 0);
}

}  // namespace
}  // namespace quantlane
