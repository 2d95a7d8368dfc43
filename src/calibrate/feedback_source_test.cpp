#include "calibrate/feedback_source.h"

#include <cmath>
#include <map>
#include <string>

#include <gmock/gmock.h>

#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

constexpr std::int64_t kSequence = 32;

TokenChunks chunks_of(std::int64_t sequences) {
  TokenChunks chunks{.chunk = kSequence, .tokens = {}};
  for (std::int64_t i = 0; i < sequences * kSequence; ++i)
    chunks.tokens.push_back(static_cast<std::int32_t>((i * 37 + 11 + i / 96) % 96));
  return chunks;
}

// The mean squares of the inputs of every matrix of a plain forward pass.
class MeanSquares final : public LinearObserver {
 public:
  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    std::vector<double>& sums = sums_[std::string(linear.module())];
    sums.resize(static_cast<std::size_t>(linear.cols));
    for (std::int64_t i = 0; i < tokens * linear.cols; ++i) {
      const auto value = static_cast<double>(x[i]);
      sums[static_cast<std::size_t>(i % linear.cols)] += value * value;
    }
    tokens_[std::string(linear.module())] += tokens;
  }
  [[nodiscard]] std::int64_t tokens(const std::string& module) const { return tokens_.at(module); }
  [[nodiscard]] double of(const std::string& module, std::size_t column) const {
    return sums_.at(module)[column] / static_cast<double>(tokens_.at(module));
  }

 private:
  std::map<std::string, std::vector<double>> sums_;
  std::map<std::string, std::int64_t> tokens_;
};

MeanSquares forward(Runtime& runtime, const TokenChunks& chunks, ThreadPool& pool) {
  MeanSquares squares;
  for (std::int64_t i = 0; i < chunks.count(); ++i) {
    KvCache cache(runtime.config(), kSequence);
    const Segment segment = {.tokens = chunks[i], .cache = &cache, .logits_from = kSequence};
    std::vector<float> logits;
    EXPECT_TRUE(runtime.forward({&segment, 1}, pool, logits, &squares).has_value());
  }
  return squares;
}

TEST(FeedbackSource, KnowsTheInputsThatEachExpertsDownSees) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("qwen3-moe"));
  ASSERT_NE(model, nullptr);
  ThreadPool pool(2);
  const TokenChunks chunks = chunks_of(24);
  const auto runtime = Runtime::load(model).value();
  const MeanSquares want = forward(*runtime, chunks, pool);
  FeedbackSource source(model, chunks, pool);
  std::int64_t compared = 0;
  for (const Parameter& p : model->graph()->parameters) {
    if (p.layer != 0 || p.expert < 0 || p.role != Role::kDown) continue;
    const std::string module(p.module());
    const auto feedback = source.of(module, {});
    ASSERT_TRUE(feedback.has_value()) << feedback.error().message();
    ASSERT_NE(*feedback, nullptr);
    ASSERT_EQ((*feedback)->cols, p.cols);
    if (want.tokens(module) < p.cols) continue;
    ++compared;
    double off = 0;
    double all = 0;
    for (std::size_t c = 0; c < (*feedback)->moments.size(); ++c) {
      // Rows of unusual energy count for less; the others are products of bf16 at worst.
      const double wanted = want.of(module, c);
      off += std::abs(static_cast<double>((*feedback)->moments[c]) - wanted);
      all += wanted;
    }
    EXPECT_LT(off, 0.1 * all) << p.name;
  }
  EXPECT_GT(compared, 2);
}

TEST(FeedbackSource, CountsTheTokensOfExpertsAlsoOfWhatAnEarlierRunMade) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("qwen3-moe"));
  ASSERT_NE(model, nullptr);
  ThreadPool pool(2);
  const TokenChunks chunks = chunks_of(24);
  const auto runtime = Runtime::load(model).value();
  const MeanSquares want = forward(*runtime, chunks, pool);
  FeedbackSource asked(model, chunks, pool);
  FeedbackSource resumed(model, chunks, pool);
  std::vector<std::int64_t> counts;
  for (const Parameter& p : model->graph()->parameters) {
    if (p.layer != 0 || p.expert < 0 || p.role != Role::kDown) continue;
    counts.push_back(want.tokens(std::string(p.module())));
    ASSERT_TRUE(asked.of(p.module(), {}).has_value());
    ASSERT_TRUE(resumed.settle_earlier(p.module(), model->weight(p).value()).has_value());
  }
  const ExpertTokens& found = asked.findings().expert_tokens();
  EXPECT_EQ(resumed.findings().expert_tokens(), found);
  ASSERT_EQ(found.size(), 1U);
  ASSERT_EQ(found.at(0).size(), counts.size());
  for (std::size_t e = 0; e < counts.size(); ++e) {
    // Products in bf16 route tokens between two experts otherwise now and then.
    EXPECT_NEAR(static_cast<double>(found.at(0)[e]), static_cast<double>(counts[e]), 4) << e;
  }
}

TEST(FeedbackSource, SaysWhichExpertsSawTooLittle) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("qwen3-moe"));
  ASSERT_NE(model, nullptr);
  ThreadPool pool(2);
  FeedbackSource source(model, chunks_of(1), pool);
  EXPECT_THAT(source.findings().notices(), testing::IsEmpty());
  const std::string module = "model.layers.0.mlp.experts.0.down_proj";
  ASSERT_TRUE(source.of(module, {}).has_value());
  EXPECT_THAT(source.findings().notices(),
              testing::ElementsAre(testing::HasSubstr("1 of 1 experts saw fewer")));
}

}  // namespace
}  // namespace quantlane
