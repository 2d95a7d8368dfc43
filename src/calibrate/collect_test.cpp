// One pass over a text against passes over its parts.
#include "calibrate/collect.h"

#include <cmath>
#include <numeric>

#include <gmock/gmock.h>

#include "calibrate/statistics_view.h"
#include "core/rng.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

constexpr std::int64_t kPartChunk = 128;

Statistics pass_over(const std::shared_ptr<const Checkpoint>& model, const TokenChunks& chunks) {
  ThreadPool pool(2);
  const auto runtime = Runtime::load(model).value();
  auto statistics = collect_statistics(*runtime, chunks, pool, no_progress());
  EXPECT_TRUE(statistics.has_value());
  return std::move(statistics).value_or(Statistics());
}

// Through a file, as the parts of a text come from several runs.
Statistics through_a_file(const Statistics& statistics) {
  const fixtures::ScratchFolder scratch;
  const fs::path file = scratch.path() / "statistics.safetensors";
  EXPECT_TRUE(statistics.save(file).has_value());
  auto loaded = Statistics::load(file);
  EXPECT_TRUE(loaded.has_value());
  return std::move(loaded).value_or(Statistics());
}

void expect_sum_of_parts(const InputStatistics& got, const InputStatistics& want,
                         const std::string& module) {
  EXPECT_EQ(got.tokens, want.tokens) << module;
  EXPECT_EQ(got.absmax, want.absmax) << module;
  ASSERT_EQ(got.sum_squares.size(), want.sum_squares.size());
  for (std::size_t c = 0; c < want.sum_squares.size(); ++c) {
    ASSERT_NEAR(got.sum_squares[c], want.sum_squares[c], 1e-5 * want.sum_squares[c] + 1e-12)
        << module << ", column " << c;
  }
  // Each part begins to sample anew: one row more or less.
  const auto count = [](const std::vector<std::int64_t>& counts) {
    return static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  };
  EXPECT_NEAR(count(got.magnitudes), count(want.magnitudes),
              static_cast<double>(want.sum_squares.size()))
      << module;
}

class HalvesOfAText : public testing::TestWithParam<const char*> {};

TEST_P(HalvesOfAText, MergeToTheStatisticsOfTheWhole) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data(GetParam()));
  ASSERT_NE(model, nullptr);
  Rng rng(11);
  TokenChunks whole{.chunk = kPartChunk, .tokens = {}};
  for (int i = 0; i < 30 * kPartChunk; ++i) {
    whole.tokens.push_back(static_cast<std::int32_t>(
        rng.uniform() * static_cast<double>(model->graph()->config.vocab_size)));
  }
  // Cut where no pass ends, too.
  for (const std::int64_t cut : {16, 7}) {
    TokenChunks first{.chunk = kPartChunk, .tokens = whole.tokens};
    first.tokens.resize(static_cast<std::size_t>(cut * kPartChunk));
    const TokenChunks second{
        .chunk = kPartChunk,
        .tokens = {whole.tokens.begin() + cut * kPartChunk, whole.tokens.end()}};
    const Statistics want = pass_over(model, whole);
    Statistics merged = through_a_file(pass_over(model, first));
    ASSERT_TRUE(merged.merge(through_a_file(pass_over(model, second))).has_value());
    ASSERT_EQ(merged.modules().size(), want.modules().size());
    for (const auto& [module, inputs] : want.modules())
      expect_sum_of_parts(merged.modules().at(module), inputs, module);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, HalvesOfAText, testing::Values("llama", "qwen3-moe"));

TEST(StatisticsView, StacksExpertsAndKeepsTheNamesOfLinears) {
  Statistics statistics;
  statistics.come_from({.model = "", .texts = {"a", "b"}, .chunk_size = 4, .experts = 3});
  const auto inputs = [](double sum, std::int64_t tokens) {
    return InputStatistics{.sum_squares = {sum, 2 * sum}, .absmax = {1, 1}, .tokens = tokens};
  };
  statistics.set("model.layers.1.mlp.experts.2.down_proj", inputs(5, 7));
  statistics.set("model.layers.1.mlp.experts.0.down_proj", inputs(3, 9));
  statistics.set("lm_head", inputs(1, 8));
  const Imatrix view = view_as_imatrix(through_a_file(statistics));
  ASSERT_EQ(view.entries.size(), 2U);
  const ImatrixEntry& down = view.entries.at("model.layers.1.mlp.experts.down_proj.weight");
  EXPECT_THAT(down.counts, testing::ElementsAre(9, 0, 7));
  EXPECT_THAT(down.sums, testing::ElementsAre(3, 6, 0, 0, 5, 10));
  EXPECT_THAT(view.entries.at("lm_head.weight").counts, testing::ElementsAre(8));
  EXPECT_THAT(view.datasets, testing::ElementsAre("a", "b"));
  EXPECT_EQ(view.chunk_count, 2);
}

}  // namespace
}  // namespace quantlane
