// What importances decide about GGUF files: types that are refused without, keys that say where
// they are from.
#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/gguf/gguf_plan.h"

namespace quantlane {
namespace {

using fixtures::open_checkpoint;
using fixtures::ScratchFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using fixtures::kCanary;

class GgufImportance : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(model_, nullptr); }
  [[nodiscard]] static Lane lane(const std::string& name) {
    auto found = find_lane(name);
    EXPECT_TRUE(found.has_value()) << name;
    return std::move(found).value_or(Lane{});
  }
  // Importance 1 and 2 in turn for every Linear but `left_out`.
  [[nodiscard]] Statistics statistics(std::string_view left_out = "") const {
    Statistics statistics;
    for (const Parameter& p : model_->graph()->parameters) {
      if (!is_linear(p.role) || p.module() == left_out) continue;
      std::vector<double> sums(static_cast<std::size_t>(p.cols));
      for (std::size_t c = 0; c < sums.size(); ++c) sums[c] = c % 2 == 0 ? 1 : 2;
      statistics.set(std::string(p.module()), {.sum_squares = sums, .absmax = {}, .tokens = 1});
    }
    return statistics;
  }
  // Only planned: nothing is written.
  [[nodiscard]] QuantizeJob job(const Lane& chosen, const Statistics* statistics = nullptr) const {
    return {.source = *model_, .lane = chosen, .statistics = statistics, .out = "x.gguf"};
  }
  [[nodiscard]] Metadata keys(const Lane& chosen, const ImportanceOrigin& origin) const {
    QuantizeJob planned = job(chosen);
    planned.origin = origin;
    planned.force_unweighted = true;
    const auto plan = plan_gguf(planned);
    EXPECT_TRUE(plan.has_value());
    return plan ? plan->metadata : Metadata{};
  }

  const std::shared_ptr<const Checkpoint> model_ = open_checkpoint(kCanary);
};

TEST_F(GgufImportance, LowBitsAreRefusedWithout) {
  const Lane q2_k_s = lane("gguf:q2_k_s");
  const auto refused = plan_gguf(job(q2_k_s));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused.error().tensor, "blk.0.attn_q.weight");
  EXPECT_THAT(refused.error().hint, HasSubstr("--force-unweighted"));
  // q2_k is a mix for use without importances, and so are all lanes of more bits.
  for (const char* name : {"gguf:q2_k", "gguf:q3_k_m", "gguf:q4_k_m"}) {
    const Lane other = lane(name);
    EXPECT_TRUE(plan_gguf(job(other)).has_value()) << name;
  }
}

TEST_F(GgufImportance, ForcingSaysHowMany) {
  const Lane q2_k_s = lane("gguf:q2_k_s");
  QuantizeJob forcing = job(q2_k_s);
  forcing.force_unweighted = true;
  const auto forced = plan_gguf(forcing);
  ASSERT_TRUE(forced.has_value()) << forced.error().message();
  std::int64_t low = 0;
  for (const GgufPlan::Item& item : forced->items) {
    const bool linear = !item.parameters.empty() && is_linear(item.parameters[0]->role);
    low += linear && item.tensor.type.name() == "q2_k" ? 1 : 0;
  }
  ASSERT_GT(low, 0);
  EXPECT_THAT(forced->notices, ElementsAre(HasSubstr(std::to_string(low) + " tensors")));
}

TEST_F(GgufImportance, EveryTensorOfLowBitsWantsItsOwn) {
  const Lane q2_k_s = lane("gguf:q2_k_s");
  const Statistics all = statistics();
  const auto planned = plan_gguf(job(q2_k_s, &all));
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_THAT(planned->notices, IsEmpty());
  const Statistics most = statistics("model.layers.1.mlp.up_proj");
  QuantizeJob lacking = job(q2_k_s, &most);
  lacking.origin.file = "m.gguf";
  const auto refused = plan_gguf(lacking);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().tensor, "blk.1.ffn_up.weight");
  EXPECT_EQ(refused.error().file, "m.gguf");
  // The head is exempt, as llama-quantize has it.
  const Statistics headless = statistics("lm_head");
  EXPECT_TRUE(plan_gguf(job(q2_k_s, &headless)).has_value());
}

TEST_F(GgufImportance, SizesCanBePlannedBeforeCalibrating) {
  const Lane q2_k_s = lane("gguf:q2_k_s");
  QuantizeJob early = job(q2_k_s);
  early.request.importance = true;
  EXPECT_TRUE(plan_gguf(early).has_value());
}

TEST_F(GgufImportance, KeysAreThoseOfLlamaQuantize) {
  const Metadata metadata =
      keys(lane("gguf:q4_k_m"),
           {.file = "m.gguf", .dataset = "a.txt, b.txt", .entries = 42, .chunks = 7});
  ASSERT_NE(metadata.string("quantize.imatrix.file"), nullptr);
  EXPECT_EQ(*metadata.string("quantize.imatrix.file"), "m.gguf");
  EXPECT_EQ(*metadata.string("quantize.imatrix.dataset"), "a.txt, b.txt");
  for (const auto& [key, value] : {std::pair{"quantize.imatrix.entries_count", 42U},
                                   std::pair{"quantize.imatrix.chunks_count", 7U}}) {
    const MetadataValue* found = metadata.find(key);
    ASSERT_NE(found, nullptr) << key;
    EXPECT_EQ(*found, MetadataValue(value)) << key;
  }
}

TEST_F(GgufImportance, LanesWithoutImportancesSayNothing) {
  const ImportanceOrigin origin = {.file = "m.gguf", .dataset = "a", .entries = 1, .chunks = 1};
  for (const char* name : {"gguf:q8_0", "gguf:f16"})
    EXPECT_EQ(keys(lane(name), origin).find("quantize.imatrix.file"), nullptr) << name;
  EXPECT_EQ(keys(lane("gguf:q4_k_m"), {}).find("quantize.imatrix.entries_count"), nullptr);
}

TEST_F(GgufImportance, KeysOfTheSourceAreReplaced) {
  const ScratchFolder scratch;
  const Statistics all = statistics();
  const Lane q4 = lane("gguf:q4_k_m");
  ThreadPool pool(2);
  const fs::path first = scratch.path() / "first.gguf";
  ASSERT_TRUE(run_quantize({.source = *model_,
                            .lane = q4,
                            .statistics = &all,
                            .out = first,
                            .origin = {.file = "old.gguf", .dataset = "old.txt"}},
                           pool, no_progress())
                  .has_value());
  const auto quantized = open_checkpoint(first);
  ASSERT_NE(quantized, nullptr);
  const auto plan = plan_gguf({.source = *quantized,
                               .lane = q4,
                               .out = "x.gguf",
                               .origin = {.file = "new.gguf", .entries = 3}});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(*plan->metadata.string("quantize.imatrix.file"), "new.gguf");
  EXPECT_EQ(plan->metadata.find("quantize.imatrix.dataset"), nullptr);
}

TEST_F(GgufImportance, ImportancesChangeTheCodes) {
  const ScratchFolder scratch;
  const Lane q4 = lane("gguf:q4_k_m");
  const Statistics all = statistics();
  ThreadPool pool(2);
  std::vector<std::string> bytes;
  for (const Statistics* statistics : {static_cast<const Statistics*>(nullptr), &all}) {
    const fs::path out = scratch.path() / "x.gguf";
    ASSERT_TRUE(run_quantize({.source = *model_, .lane = q4, .statistics = statistics, .out = out},
                             pool, no_progress())
                    .has_value());
    const auto container = open_container(out);
    ASSERT_TRUE(container.has_value());
    const auto stored = (*container)->bytes(*(*container)->find("blk.0.ffn_up.weight"));
    bytes.emplace_back(reinterpret_cast<const char*>(stored.data()), stored.size());
  }
  EXPECT_TRUE(bytes[0] != bytes[1]);
}

}  // namespace
}  // namespace quantlane
