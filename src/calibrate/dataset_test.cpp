#include "calibrate/dataset.h"

#include "calibrate/collect.h"
#include "model/tokenizer/tokenizer.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::kCanary;

class Chunks : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(model_, nullptr); }
  const std::shared_ptr<const Checkpoint> model_ = fixtures::open_checkpoint(kCanary);
  const std::string text_ = read_text(kCanary / "eval_books.txt").value_or("");
};

TEST_F(Chunks, AreTheTokensOfTheText) {
  const auto tokenizer = *model_->tokenizer();
  const auto all = tokenizer->encode(text_, false);
  const auto chunks = make_chunks(*model_, text_, "books", 64, 0);
  ASSERT_TRUE(chunks.has_value()) << chunks.error().message();
  EXPECT_EQ(chunks->count(), static_cast<std::int64_t>(all.size()) / 64);
  ASSERT_FALSE(tokenizer->spec().add_bos);
  for (std::int64_t i = 0; i < chunks->count(); ++i) {
    for (std::size_t j = 0; j < 64; ++j) {
      ASSERT_EQ((*chunks)[i][j], all[static_cast<std::size_t>(i) * 64 + j]) << i << " " << j;
    }
  }
}

TEST_F(Chunks, LimitGivesTheSameBeginning) {
  const auto all = make_chunks(*model_, text_, "books", 32, 0);
  for (const std::int64_t limit : {1, 5, 40}) {
    const auto some = make_chunks(*model_, text_, "books", 32, limit);
    ASSERT_TRUE(some.has_value());
    ASSERT_EQ(some->count(), limit);
    EXPECT_TRUE(std::equal(some->tokens.begin(), some->tokens.end(), all->tokens.begin()));
  }
  EXPECT_EQ(make_chunks(*model_, text_, "books", 32, 1 << 20)->tokens, all->tokens);
}

// As llama-perplexity and llama-imatrix: the text begins with a BOS, cut into chunks each first
// token becomes one.
TEST_F(Chunks, BosStandsBeforeTheTextAndFirstInEachChunk) {
  const fixtures::ScratchFolder scratch;
  for (const auto& entry : fs::directory_iterator(kCanary)) {
    if (entry.is_regular_file()) fs::copy(entry.path(), scratch.path() / entry.path().filename());
  }
  Json config = fixtures::read_json(scratch.path() / "tokenizer_config.json");
  config.set("add_bos_token", true);
  ASSERT_TRUE(write_text(scratch.path() / "tokenizer_config.json", config.dump()).has_value());
  const auto with_bos = fixtures::open_checkpoint(scratch.path());
  const auto tokenizer = with_bos->tokenizer();
  ASSERT_TRUE(tokenizer.has_value());
  ASSERT_TRUE((*tokenizer)->spec().add_bos);
  const auto plain = (*tokenizer)->encode(text_, false);
  const auto chunks = make_chunks(*with_bos, text_, "books", 16, 8);
  ASSERT_TRUE(chunks.has_value());
  for (std::size_t i = 0; i < chunks->tokens.size(); ++i) {
    const auto want =
        i % 16 == 0 ? static_cast<std::int32_t>((*tokenizer)->spec().bos_id) : plain[i - 1];
    EXPECT_EQ(chunks->tokens[i], want) << i;
  }
}

TEST_F(Chunks, RefusesWhatFillsNoChunk) {
  const auto tiny = make_chunks(*model_, "one two", "small.txt", 512, 4);
  ASSERT_FALSE(tiny.has_value());
  EXPECT_EQ(tiny.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(tiny.error().message().find("small.txt"), std::string::npos);
  EXPECT_FALSE(make_chunks(*model_, "", "empty", 2, 0).has_value());
  EXPECT_FALSE(make_chunks(*model_, text_, "books", 1, 0).has_value());
  EXPECT_FALSE(make_chunks(*model_, "bad \xFF byte", "bytes.txt", 2, 0).has_value());
}

TEST_F(Chunks, ACalibrationPassSeesEveryLinear) {
  auto runtime = Runtime::load(model_);
  ASSERT_TRUE(runtime.has_value());
  const auto chunks = make_chunks(*model_, text_, "books", 32, 3);
  ThreadPool pool(2);
  const auto statistics = collect_statistics(**runtime, *chunks, pool, no_progress());
  ASSERT_TRUE(statistics.has_value()) << statistics.error().message();
  for (const Parameter& p : model_->graph()->parameters) {
    if (!is_linear(p.role)) continue;
    EXPECT_EQ(statistics->importance(p.module(), p.cols).size(), static_cast<std::size_t>(p.cols))
        << p.name;
    EXPECT_EQ(statistics->modules().at(std::string(p.module())).tokens,
              p.role == Role::kHead ? 3 * 8 : 3 * 32);
  }
}

}  // namespace
}  // namespace quantlane
