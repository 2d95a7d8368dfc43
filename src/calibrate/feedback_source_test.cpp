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

class FeedbackSourceOfExperts : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(model_, nullptr); }

  MeanSquares forward(const TokenChunks& chunks) {
    const auto runtime = Runtime::load(model_).value();
    MeanSquares squares;
    for (std::int64_t i = 0; i < chunks.count(); ++i) {
      KvCache cache(runtime->config(), kSequence);
      const Segment segment = {.tokens = chunks[i], .cache = &cache, .logits_from = kSequence};
      std::vector<float> logits;
      EXPECT_TRUE(runtime->forward({&segment, 1}, pool_, logits, &squares).has_value());
    }
    return squares;
  }

  // The Linears whose inputs are what one expert makes of its tokens.
  [[nodiscard]] std::vector<const Parameter*> downs_of_experts() const {
    std::vector<const Parameter*> downs;
    for (const Parameter& p : model_->graph()->parameters) {
      if (p.layer == 0 && p.expert >= 0 && p.role == Role::kDown) downs.push_back(&p);
    }
    return downs;
  }

  std::shared_ptr<const Checkpoint> model_ =
      fixtures::open_checkpoint(fixtures::model_data("qwen3-moe"));
  ThreadPool pool_{2};
};

TEST_F(FeedbackSourceOfExperts, KnowsTheInputsThatEachExpertsDownSees) {
  const TokenChunks chunks = chunks_of(24);
  const MeanSquares want = forward(chunks);
  FeedbackSource source(model_, chunks, pool_);
  std::int64_t compared = 0;
  for (const Parameter* p : downs_of_experts()) {
    const std::string module(p->module());
    const auto feedback = source.of(module, {});
    ASSERT_TRUE(feedback.has_value()) << feedback.error().message();
    ASSERT_NE(*feedback, nullptr);
    ASSERT_EQ((*feedback)->cols, p->cols);
    if (want.tokens(module) < p->cols) continue;
    ++compared;
    double off = 0;
    double all = 0;
    for (std::size_t c = 0; c < (*feedback)->moments.size(); ++c) {
      // Rows of unusual energy count for less; the others are products of bf16 at worst.
      const double wanted = want.of(module, c);
      off += std::abs(static_cast<double>((*feedback)->moments[c]) - wanted);
      all += wanted;
    }
    EXPECT_LT(off, 0.1 * all) << p->name;
  }
  EXPECT_GT(compared, 2);
}

TEST_F(FeedbackSourceOfExperts, CountsTheTokensOfExpertsAlsoOfWhatAnEarlierRunMade) {
  const TokenChunks chunks = chunks_of(24);
  const MeanSquares want = forward(chunks);
  FeedbackSource asked(model_, chunks, pool_);
  FeedbackSource resumed(model_, chunks, pool_);
  std::vector<std::int64_t> counts;
  for (const Parameter* p : downs_of_experts()) {
    counts.push_back(want.tokens(std::string(p->module())));
    ASSERT_TRUE(asked.of(p->module(), {}).has_value());
    ASSERT_TRUE(resumed.settle_earlier(p->module(), model_->weight(*p).value()).has_value());
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

TEST_F(FeedbackSourceOfExperts, SaysWhichExpertsSawTooLittle) {
  FeedbackSource source(model_, chunks_of(1), pool_);
  EXPECT_THAT(source.findings().notices(), testing::IsEmpty());
  const std::string module = "model.layers.0.mlp.experts.0.down_proj";
  ASSERT_TRUE(source.of(module, {}).has_value());
  EXPECT_THAT(source.findings().notices(),
              testing::ElementsAre(testing::HasSubstr("1 of 1 experts saw fewer")));
}

}  // namespace
}  // namespace quantlane
