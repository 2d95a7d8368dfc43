#include "calibrate/kept_statistics.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "core/rng.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::ScratchFolder;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kPassChunk = 64;
constexpr std::int64_t kPassChunks = 150;  // five batches

class Notices final : public Progress {
 public:
  void begin(std::string_view, std::uint64_t, std::string_view) override {}
  void update(std::uint64_t done) override { updates.push_back(done); }
  void end() override {}
  void notice(std::string_view text) override { lines.emplace_back(text); }
  std::vector<std::string> lines;
  std::vector<std::uint64_t> updates;
};

struct Pass {
  TokenChunks chunks = {.chunk = kPassChunk, .tokens = {}};
  ThreadPool pool{2};
  std::unique_ptr<Runtime> runtime = fixtures::load_model(fixtures::model_data("llama"));
  std::shared_ptr<const Checkpoint> checkpoint =
      Checkpoint::open(fixtures::model_data("llama")).value();
  ScratchFolder folder;
  std::filesystem::path out = folder.path() / "out.gguf";
  std::filesystem::path file = folder.path() / "out.gguf.calibration";

  Pass() {
    Rng rng(4);
    for (std::int64_t i = 0; i < kPassChunks * kPassChunk; ++i)
      chunks.tokens.push_back(static_cast<std::int32_t>(rng.below(96)));
  }
  // The statistics with what was said; `every` as in KeptStatistics.
  Statistics collected(Notices& notices, milliseconds every = milliseconds(0)) {
    KeptStatistics kept(out, checkpoint, chunks, HeadRows::kNone, notices, every);
    auto statistics = collect_statistics(*runtime, chunks, pool, notices, HeadRows::kNone, &kept);
    EXPECT_TRUE(statistics.has_value());
    return std::move(statistics).value_or(Statistics());
  }
  // Leaves what a run that was killed after `count` chunks leaves.
  void stop_after(std::int64_t count) {
    TokenChunks part{.chunk = kPassChunk,
                     .tokens = {chunks.tokens.begin(), chunks.tokens.begin() + count * kPassChunk}};
    const auto statistics =
        collect_statistics(*runtime, part, pool, no_progress(), HeadRows::kNone);
    ASSERT_TRUE(statistics.has_value());
    KeptStatistics kept(out, checkpoint, chunks, HeadRows::kNone, no_progress());
    kept.keep_now(*statistics, count);
  }
};

void expect_same(const Statistics& got, const Statistics& want) {
  ASSERT_EQ(got.modules().size(), want.modules().size());
  for (const auto& [module, inputs] : want.modules()) {
    const InputStatistics& own = got.modules().at(module);
    EXPECT_EQ(own.sum_squares, inputs.sum_squares) << module;
    EXPECT_EQ(own.absmax, inputs.absmax) << module;
    EXPECT_EQ(own.magnitudes, inputs.magnitudes) << module;
    EXPECT_EQ(own.tokens, inputs.tokens) << module;
  }
}

TEST(KeptStatistics, LetAPassGoOnToTheSameSums) {
  Pass pass;
  Notices notices;
  const Statistics whole = pass.collected(notices, milliseconds(1 << 30));
  EXPECT_FALSE(std::filesystem::exists(pass.file));
  pass.stop_after(64);
  EXPECT_TRUE(std::filesystem::exists(pass.file));
  Notices later;
  expect_same(pass.collected(later), whole);
  EXPECT_THAT(later.lines, ElementsAre(HasSubstr("going on from 64 of 150 chunks")));
  EXPECT_EQ(later.updates.front(), static_cast<std::uint64_t>(96 * kPassChunk));
  // All of it is kept for what comes after the pass, which need not run again.
  Notices again;
  expect_same(pass.collected(again), whole);
  EXPECT_THAT(again.updates, IsEmpty());
  KeptStatistics kept(pass.out, pass.checkpoint, pass.chunks, HeadRows::kNone, notices);
  kept.remove();
  EXPECT_TRUE(std::filesystem::exists(pass.file)) << "a job without a pass may read it";
  EXPECT_TRUE(kept.find().has_value());
  kept.remove();
  EXPECT_FALSE(std::filesystem::exists(pass.file));
}

TEST(KeptStatistics, OfAnotherTextAreSaidAndReplaced) {
  Pass pass;
  pass.stop_after(32);
  pass.chunks.tokens[5] += pass.chunks.tokens[5] > 0 ? -1 : 1;
  Notices first;
  const Statistics made = pass.collected(first);
  EXPECT_THAT(first.lines, ElementsAre(HasSubstr("made it of another model, text")));
  EXPECT_EQ(made.modules().begin()->second.tokens, kPassChunks * kPassChunk);
  Notices second;
  expect_same(pass.collected(second), made);
  EXPECT_THAT(second.lines, ElementsAre(HasSubstr("going on from 150 of 150")));
}

TEST(KeptStatistics, LeaveFilesAloneThatAreNotTheirs) {
  Pass pass;
  ASSERT_TRUE(write_text(pass.file, "shopping list").has_value());
  Notices notices;
  pass.collected(notices);
  EXPECT_THAT(notices.lines, ElementsAre(HasSubstr("left alone")));
  KeptStatistics kept(pass.out, pass.checkpoint, pass.chunks, HeadRows::kNone, notices);
  EXPECT_TRUE(kept.find().has_value());
  kept.remove();
  EXPECT_EQ(read_text(pass.file).value(), "shopping list");
}

TEST(KeptStatistics, LeaveFilesAloneThatAppearMeanwhile) {
  Pass pass;
  Notices notices;
  KeptStatistics kept(pass.out, pass.checkpoint, pass.chunks, HeadRows::kNone, notices);
  EXPECT_TRUE(kept.find().has_value());
  ASSERT_TRUE(write_text(pass.file, "shopping list").has_value());
  kept.keep_now({}, 1);
  kept.remove();
  EXPECT_THAT(notices.lines, ElementsAre(HasSubstr("cannot be written")));
  EXPECT_EQ(read_text(pass.file).value(), "shopping list");
}

TEST(KeptStatistics, AreNoReasonToFailWhereTheyCannotBeWritten) {
  Pass pass;
  pass.out = "/proc/none/out.gguf";
  Notices notices;
  pass.collected(notices);
  EXPECT_THAT(notices.lines, ElementsAre(HasSubstr("cannot be written")));
}

}  // namespace
}  // namespace quantlane
