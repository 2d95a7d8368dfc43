#include "calibrate/input_samples.h"

#include <cmath>

#include "calibrate/collect.h"
#include "core/rng.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

constexpr std::int64_t kChunk = 64;

TokenChunks random_chunks(std::int64_t vocab, std::int64_t chunks) {
  Rng rng(9);
  TokenChunks made{.chunk = kChunk, .tokens = {}};
  for (std::int64_t i = 0; i < chunks * kChunk; ++i)
    made.tokens.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocab))));
  return made;
}

// All rows that enter the Linear, as they come.
class Recorder final : public LinearObserver {
 public:
  explicit Recorder(const Parameter& wanted) : wanted_(wanted) {}
  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    if (linear.name == wanted_.name) rows.insert(rows.end(), x, x + tokens * linear.cols);
  }
  std::vector<float> rows;

 private:
  const Parameter& wanted_;
};

struct Sampled {
  std::vector<float> all;
  ModelSamples samples;
  Statistics statistics;
  const Parameter* linear;
  std::unique_ptr<Runtime> runtime;
};

Sampled sample(std::int64_t chunks) {
  Sampled sampled;
  sampled.runtime = fixtures::load_model(fixtures::model_data("llama"));
  const Graph& graph = *sampled.runtime->checkpoint().graph();
  sampled.linear = graph.find(Role::kDown, 1);
  const TokenChunks text = random_chunks(graph.config.vocab_size, chunks);
  ThreadPool pool(2);
  Recorder recorder(*sampled.linear);
  EXPECT_TRUE(run_calibration_pass(*sampled.runtime, text, "test", HeadRows::kNone, recorder, pool,
                                   no_progress())
                  .has_value());
  sampled.all = std::move(recorder.rows);
  auto samples =
      collect_samples(*sampled.runtime, text, 0, 2, pool, no_progress(), &sampled.statistics);
  EXPECT_TRUE(samples.has_value());
  sampled.samples = std::move(*samples);
  return sampled;
}

TEST(InputSamples, KeepRowsSumsAndTheStatisticsOfThePass) {
  const Sampled sampled = sample(10);
  const auto cols = static_cast<std::size_t>(sampled.linear->cols);
  const InputSamples& samples = *sampled.samples.at(std::string(sampled.linear->module()));
  const std::size_t stride = (10 * kChunk + kSampleRows - 1) / kSampleRows;
  ASSERT_EQ(samples.row_count(), static_cast<std::int64_t>((10 * kChunk + stride - 1) / stride));
  for (std::size_t r = 0; r < static_cast<std::size_t>(samples.row_count()); ++r) {
    for (std::size_t c = 0; c < cols; ++c)
      ASSERT_EQ(samples.rows[r * cols + c], sampled.all[r * stride * cols + c]);
  }
  const auto& statistics = sampled.statistics.modules().at(std::string(sampled.linear->module()));
  EXPECT_EQ(statistics.tokens, samples.statistics.tokens);
  EXPECT_EQ(statistics.absmax, samples.statistics.absmax);
  for (std::size_t c = 0; c < cols; ++c) {
    double sum = 0;
    for (std::size_t t = 0; t < sampled.all.size() / cols; ++t)
      sum += std::abs(static_cast<double>(sampled.all[t * cols + c]));
    EXPECT_NEAR(samples.sum_abs[c], sum, 1e-6 * sum);
    EXPECT_NEAR(samples.statistics.sum_squares[c], statistics.sum_squares[c],
                1e-5 * statistics.sum_squares[c]);
  }
  // All Linears of the model, the head among them.
  EXPECT_EQ(sampled.statistics.modules().size(), 2U * 7U + 1U);
  EXPECT_EQ(sampled.samples.size(), 2U * 7U);
}

TEST(InputSamples, LinearsThatShareAnInputShareTheSamples) {
  const Sampled sampled = sample(2);
  const Graph& graph = *sampled.runtime->checkpoint().graph();
  const auto of = [&](Role role) {
    return sampled.samples.at(std::string(graph.find(role, 0)->module())).get();
  };
  EXPECT_EQ(of(Role::kQuery), of(Role::kKey));
  EXPECT_EQ(of(Role::kQuery), of(Role::kValue));
  EXPECT_EQ(of(Role::kGate), of(Role::kUp));
  EXPECT_NE(of(Role::kQuery), of(Role::kGate));
  EXPECT_NE(of(Role::kAttentionOutput), of(Role::kDown));
}

// The squared length of what matrices give is nearly that under all rows.
TEST(InputSamples, SketchesStandForTheSecondMoment) {
  const Sampled sampled = sample(40);
  const auto cols = static_cast<std::size_t>(sampled.linear->cols);
  const InputSamples& samples = *sampled.samples.at(std::string(sampled.linear->module()));
  Rng rng(4);
  std::vector<double> direction(cols);
  double sketched = 0;
  double exact = 0;
  const auto add = [&](const std::vector<float>& rows, double& total) {
    for (std::size_t r = 0; r < rows.size(); r += cols) {
      double product = 0;
      for (std::size_t c = 0; c < cols; ++c)
        product += static_cast<double>(rows[r + c]) * direction[c];
      total += product * product;
    }
  };
  for (int i = 0; i < 32; ++i) {
    for (double& value : direction) value = rng.normal();
    add(samples.sketch, sketched);
    add(sampled.all, exact);
  }
  EXPECT_NEAR(sketched / exact, 1, 0.15);
}

}  // namespace
}  // namespace quantlane
