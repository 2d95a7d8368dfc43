#include "quantize/gguf/size_target.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "calibrate/collect.h"
#include "core/file.h"
#include "quantize/gguf/gguf_plan.h"
#include "quantize/gguf/type_options.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::kCanary;

class SizeTargets : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(model_, nullptr);
    runtime_ = fixtures::load_model(kCanary);
    chunks_ =
        make_chunks(*model_, read_text(kCanary / "calibration.txt").value(), "test", 64, 8).value();
    statistics_.emplace(collect_statistics(*runtime_, chunks_, pool_, no_progress()).value());
  }
  [[nodiscard]] QuantizeJob job(const Lane& lane) const {
    return {.source = *model_, .lane = lane, .statistics = &*statistics_};
  }
  Result<RecipeRequest> request(const Lane& lane) {
    return request_for_size(job(lane), model_, chunks_, pool_, no_progress());
  }

  const std::shared_ptr<const Checkpoint> model_ = fixtures::open_checkpoint(kCanary);
  std::unique_ptr<Runtime> runtime_;
  TokenChunks chunks_;
  std::optional<Statistics> statistics_;
  ThreadPool pool_{2};
};

TEST_F(SizeTargets, OptionsFitTheirMatrixAndMoreBitsLoseLess) {
  const Lane lane = find_lane("gguf:q4_k_m").value();
  const GgufPlan plan = plan_gguf(job(lane)).value();
  const auto matrices = measure_type_options(job(lane), plan, list_type_options(job(lane), plan),
                                             *runtime_, chunks_, pool_, no_progress())
                            .value();
  std::size_t blocks = 0;
  for (const GgufPlan::Item& item : plan.items) blocks += item.tensor.type.block != nullptr;
  EXPECT_EQ(matrices.size(), blocks);
  for (const MatrixOptions& matrix : matrices) {
    const PlannedTensor& tensor = plan.items[matrix.item].tensor;
    ASSERT_EQ(matrix.options.size(), matrix.types.size());
    for (std::size_t i = 0; i < matrix.types.size(); ++i) {
      EXPECT_EQ(tensor.shape.back() % matrix.types[i]->block_values, 0) << tensor.name;
      PlannedTensor as_planned = tensor;
      as_planned.type = {.block = matrix.types[i]};
      EXPECT_EQ(matrix.options[i].bytes, as_planned.size_bytes()) << tensor.name;
      EXPECT_GT(matrix.options[i].loss, 0) << tensor.name;
    }
    const auto loss = [&](std::string_view type) {
      const auto found = std::ranges::find(matrix.types, type, &BlockFormat::name);
      return matrix.options.at(static_cast<std::size_t>(found - matrix.types.begin())).loss;
    };
    EXPECT_LT(loss("q8_0"), loss("q6_k")) << tensor.name;
    EXPECT_LT(loss("q6_k"), loss("q4_k")) << tensor.name;
    EXPECT_LT(loss("q4_k"), loss("q3_k")) << tensor.name;
  }
}

TEST_F(SizeTargets, FilesAreAsLargeAsAskedForAndNotMuchSmaller) {
  Lane lane = find_lane("gguf:q4_k_m").value();
  lane.size = {.bytes = 3'000'000};
  QuantizeJob sized = job(lane);
  sized.request = request(lane).value();
  const fixtures::ScratchFolder scratch;
  sized.out = scratch.path() / "m.gguf";
  const auto done = run_quantize(sized, pool_, no_progress());
  ASSERT_TRUE(done.has_value()) << done.error().message();
  EXPECT_LE(done->size_bytes, lane.size.bytes);
  EXPECT_GE(done->size_bytes, lane.size.bytes - 40'000);
}

TEST_F(SizeTargets, PaddingCountsForTheSizeOfTheFile) {
  Lane lane = find_lane("gguf:q4_k_m").value();
  lane.size = {.bytes = 5'000'000};
  const fixtures::ScratchFolder scratch;
  const auto source = scratch.path() / "wide.gguf";
  {
    const GgufPlan plan = plan_gguf(job(find_lane("gguf:f16").value())).value();
    Metadata metadata = plan.metadata;
    metadata.set("general.alignment", std::uint32_t{32768});
    auto writer = create_gguf(source, plan.tensors(), metadata).value();
    for (std::size_t i = 0; i < plan.items.size(); ++i) {
      const std::vector<std::byte> zeros(plan.items[i].tensor.size_bytes());
      ASSERT_TRUE(writer->write(i, zeros).has_value());
    }
    ASSERT_TRUE(writer->commit().has_value());
  }
  const auto model = fixtures::open_checkpoint(source);
  ASSERT_NE(model, nullptr);
  QuantizeJob sized{.source = *model, .lane = lane, .statistics = &*statistics_};
  sized.request = request_for_size(sized, model, chunks_, pool_, no_progress()).value();
  sized.out = scratch.path() / "m.gguf";
  const auto done = run_quantize(sized, pool_, no_progress());
  ASSERT_TRUE(done.has_value()) << done.error().message();
  EXPECT_LE(done->size_bytes, lane.size.bytes);
}

TEST_F(SizeTargets, ASizeAboveTheLargestTypesIsSaid) {
  struct Notices final : Progress {
    void begin(std::string_view, std::uint64_t, std::string_view) override {}
    void update(std::uint64_t) override {}
    void end() override {}
    void notice(std::string_view text) override { said += text; }
    std::string said;
  } notices;
  Lane lane = find_lane("gguf:q4_k_m").value();
  for (const auto& [bits, said] : {std::pair{12.0, true}, {6.0, false}}) {
    lane.size = {.bits_per_weight = bits};
    notices.said.clear();
    ASSERT_TRUE(request_for_size(job(lane), model_, chunks_, pool_, notices).has_value());
    EXPECT_EQ(notices.said.contains("leaves room"), said) << bits << notices.said;
  }
}

TEST_F(SizeTargets, ASizeBelowTheSmallestTypesIsRefused) {
  Lane lane = find_lane("gguf:q4_k_m").value();
  lane.size = {.bits_per_weight = 1.2};
  const auto refused = request(lane);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInfeasible);
}

TEST(BestLanes, AreLanesOfAnySize) {
  const auto lane = find_lane("gguf:best-4.25bpw");
  ASSERT_TRUE(lane.has_value()) << lane.error().message();
  EXPECT_EQ(lane->name, "gguf:best-4.25bpw");
  EXPECT_EQ(lane->size.bits_per_weight, 4.25);
  EXPECT_EQ(lane->algorithm, "gptq");
  EXPECT_EQ(find_lane("gguf:best-4.25bpw+weighted")->algorithm, "weighted");
  for (const char* wrong : {"gguf:best-", "gguf:best-bpw", "gguf:best-4.5", "gguf:best-0.5bpw",
                            "gguf:best-99bpw", "gguf:best-4.5bpwx"}) {
    EXPECT_FALSE(find_lane(wrong).has_value()) << wrong;
  }
}

}  // namespace
}  // namespace quantlane
