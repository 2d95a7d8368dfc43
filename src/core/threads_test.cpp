#include "core/threads.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

namespace quantlane {
namespace {

TEST(ThreadPool, RunsEveryIndexOnceAtAnySize) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
      pool.parallel_for(count, [&](std::int64_t i, int worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, pool.size());
        hits[static_cast<std::size_t>(i)].fetch_add(1);
      });
      for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
    }
  }
}

TEST(ThreadPool, SurvivesManyShortRounds) {
  ThreadPool pool(2);
  std::atomic<int> sum{0};
  for (int round = 0; round < 5000; ++round) {
    pool.parallel_for(2, [&](std::int64_t, int) { sum.fetch_add(1); });
  }
  EXPECT_EQ(sum.load(), 10000);
}

}  // namespace
}  // namespace quantlane
