#include "bench/throughput.h"

#include <cmath>

#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

TEST(Throughput, MeasuresBothPhases) {
  const auto runtime = fixtures::load_model(fixtures::model_data("llama"));
  ASSERT_NE(runtime, nullptr);
  ThreadPool pool(2);
  const auto result = measure_throughput(*runtime, 16, 4, 2, pool, no_progress());
  ASSERT_TRUE(result.has_value()) << result.error().message();
  EXPECT_TRUE(std::isfinite(result->prefill_tok_s) && result->prefill_tok_s > 0);
  EXPECT_TRUE(std::isfinite(result->decode_tok_s) && result->decode_tok_s > 0);
  EXPECT_LT(result->prefill_slowest_tok_s, result->prefill_tok_s);
  EXPECT_LT(result->decode_slowest_tok_s, result->decode_tok_s);
  EXPECT_GT(result->prefill_slowest_tok_s, 0);
  EXPECT_GT(result->decode_slowest_tok_s, 0);
  EXPECT_EQ(result->threads, 2);
}

TEST(Throughput, RefusesNothingToMeasure) {
  const auto runtime = fixtures::load_model(fixtures::model_data("llama"));
  ASSERT_NE(runtime, nullptr);
  ThreadPool pool(1);
  EXPECT_FALSE(measure_throughput(*runtime, 0, 4, 1, pool, no_progress()).has_value());
  EXPECT_FALSE(measure_throughput(*runtime, 4, 0, 1, pool, no_progress()).has_value());
  EXPECT_FALSE(measure_throughput(*runtime, 4, 4, 0, pool, no_progress()).has_value());
}

}  // namespace
}  // namespace quantlane
