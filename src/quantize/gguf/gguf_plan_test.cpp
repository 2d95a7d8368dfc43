// Plans say what is written; wishes beyond a recipe; artefacts in several files.
#include "quantize/gguf/gguf_plan.h"

#include <algorithm>

#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using fixtures::open_checkpoint;
using fixtures::ScratchFolder;

using fixtures::kCanary;

Result<QuantizeSummary> quantize_lane(const Checkpoint& source, const std::string& lane_name,
                                      const fs::path& out) {
  const auto lane = find_lane(lane_name);
  ThreadPool pool(2);
  return run_quantize({.source = source, .lane = *lane, .out = out}, pool, no_progress());
}

std::vector<std::string> tensor_list(const std::vector<PlannedTensor>& tensors) {
  std::vector<std::string> rows;
  for (const PlannedTensor& tensor : tensors) {
    rows.push_back(tensor.name + " " + std::string(tensor.type.name()) + " " +
                   std::to_string(tensor.size_bytes()));
  }
  std::ranges::sort(rows);
  return rows;
}

TEST(Plans, ListWhatIsWritten) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  for (const std::string lane_name : {"fp8", "w4a16", "bf16", "gguf:q4_k_m", "gguf:q3_k_l"}) {
    const auto lane = find_lane(lane_name);
    ASSERT_TRUE(lane.has_value());
    const auto plan = plan_quantize({.source = *source, .lane = *lane});
    ASSERT_TRUE(plan.has_value()) << plan.error().message();
    const fs::path out = scratch.path() / (lane->is_gguf() ? lane_name + ".gguf" : lane_name);
    const auto summary = quantize_lane(*source, lane_name, out);
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    const auto artefact = open_checkpoint(out);
    ASSERT_NE(artefact, nullptr);
    std::vector<PlannedTensor> written;
    std::uint64_t bytes = 0;
    for (const TensorInfo& tensor : artefact->container().tensors()) {
      written.push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
      bytes += tensor.size_bytes;
    }
    EXPECT_EQ(tensor_list(plan->tensors), tensor_list(written)) << lane_name;
    EXPECT_NEAR(8.0 * static_cast<double>(bytes) / static_cast<double>(plan->values),
                summary->bits_per_weight, 1e-9);
  }
}

TEST(Plans, RequestsDecideTheTypes) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  const auto lane = find_lane("gguf:q4_k_m");
  RecipeRequest request;
  request.output = *writable_type("f16");
  request.overrides.push_back({.pattern = "attn_[qk]\\.", .type = *writable_type("q8_0")});
  ThreadPool pool(2);
  const fs::path out = scratch.path() / "o.gguf";
  const auto done = run_quantize({.source = *source, .lane = *lane, .out = out, .request = request},
                                 pool, no_progress());
  ASSERT_TRUE(done.has_value()) << done.error().message();
  const auto artefact = open_checkpoint(out);
  const Container& tensors = artefact->container();
  EXPECT_EQ(tensors.find("output.weight")->type.name(), "f16");
  EXPECT_EQ(tensors.find("blk.3.attn_q.weight")->type.name(), "q8_0");
  EXPECT_EQ(tensors.find("blk.3.attn_v.weight")->type.name(), "q4_k");
  EXPECT_EQ(tensors.metadata().integer("general.file_type"), 15);
}

TEST(Plans, LanesOfPlainFloatsWriteBlocksThatOptionsAskFor) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  const auto lane = find_lane("gguf:bf16");
  RecipeRequest request;
  request.embedding = *writable_type("q8_0");
  ThreadPool pool(2);
  const fs::path out = scratch.path() / "o.gguf";
  const auto done = run_quantize({.source = *source, .lane = *lane, .out = out, .request = request},
                                 pool, no_progress());
  ASSERT_TRUE(done.has_value()) << done.error().message();
  EXPECT_EQ(open_checkpoint(out)->container().find("token_embd.weight")->type.name(), "q8_0");
}

TEST(Plans, CoarseTypesNeedStatistics) {
  const auto source = open_checkpoint(kCanary);
  const auto lane = find_lane("gguf:q2_k_s");
  const auto refused = plan_quantize({.source = *source, .lane = *lane});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().hint.find("--data-free"), std::string::npos);
  RecipeRequest request;
  request.importance = true;
  EXPECT_TRUE(plan_quantize({.source = *source, .lane = *lane, .request = request}).has_value());
}

TEST(Splits, HoldTheTensorsOfTheWholeFile) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  const auto lane = find_lane("gguf:q8_0");
  ThreadPool pool(2);
  const fs::path whole = scratch.path() / "whole.gguf";
  const fs::path part = scratch.path() / "part.gguf";
  ASSERT_TRUE(quantize_lane(*source, "gguf:q8_0", whole).has_value());
  constexpr std::uint64_t kLimit = 2000000;
  const auto done =
      run_quantize({.source = *source, .lane = *lane, .out = part, .split = {.max_bytes = kLimit}},
                   pool, no_progress());
  ASSERT_TRUE(done.has_value()) << done.error().message();
  ASSERT_GE(done->files.size(), 4U);
  EXPECT_FALSE(fs::exists(part));
  std::uint64_t total = 0;
  for (const fs::path& file : done->files) {
    EXPECT_LE(fs::file_size(file), kLimit) << file;
    total += fs::file_size(file);
  }
  EXPECT_EQ(done->size_bytes, total);
  const auto one = open_checkpoint(whole);
  const auto several = open_checkpoint(done->files.front());
  ASSERT_TRUE(one != nullptr && several != nullptr);
  ASSERT_EQ(one->container().tensors().size(), several->container().tensors().size());
  for (const TensorInfo& tensor : one->container().tensors()) {
    const TensorInfo* other = several->container().find(tensor.name);
    ASSERT_NE(other, nullptr);
    EXPECT_TRUE(
        std::ranges::equal(several->container().bytes(*other), one->container().bytes(tensor)))
        << tensor.name;
  }
  EXPECT_TRUE(several->tokenizer().has_value());

  // The shards of a source are kept; one that is large enough for all gives a plain file.
  const auto bf16 = find_lane("gguf:bf16");
  const auto kept = run_quantize({.source = *several,
                                  .lane = *bf16,
                                  .out = scratch.path() / "kept.gguf",
                                  .split = {.keep = true}},
                                 pool, no_progress());
  ASSERT_TRUE(kept.has_value()) << kept.error().message();
  ASSERT_EQ(kept->files.size(), done->files.size());
  const auto again = open_checkpoint(kept->files.front());
  for (const TensorInfo& tensor : again->container().tensors())
    EXPECT_EQ(tensor.shard, several->container().find(tensor.name)->shard) << tensor.name;
  const auto single = run_quantize(
      {.source = *one, .lane = *bf16, .out = part, .split = {.keep = true}}, pool, no_progress());
  ASSERT_TRUE(single.has_value());
  EXPECT_EQ(single->files, std::vector<fs::path>{part});
  ASSERT_EQ(single->notices.size(), 1U);
  EXPECT_NE(single->notices[0].find("no split to keep"), std::string::npos);
}

TEST(Splits, ATensorLargerThanAFileIsNoticed) {
  const auto source = open_checkpoint(kCanary);
  const auto lane = find_lane("gguf:f32");
  const auto plan =
      plan_quantize({.source = *source, .lane = *lane, .split = {.max_bytes = 4000000}});
  ASSERT_TRUE(plan.has_value());
  ASSERT_EQ(plan->notices.size(), 2U);
  EXPECT_NE(plan->notices[0].find("token_embd.weight alone has 4194304 bytes"), std::string::npos);
}

}  // namespace
}  // namespace quantlane
