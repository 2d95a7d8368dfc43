// The key-value cache scheme of a source goes on into what is made of it, or its loss is said.
#include "quantize/folder/source_kv.h"

#include <algorithm>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using fixtures::open_checkpoint;
using fixtures::ScratchFolder;
using testing::HasSubstr;

class SourceCache : public testing::Test {
 protected:
  // The canary with scales that differ everywhere; as `lane` with the cache `scheme`.
  std::shared_ptr<const Checkpoint> made(const std::string& lane, std::string_view scheme) {
    const auto source = open_checkpoint(fixtures::kCanary);
    const ModelConfig& config = source->graph()->config;
    kv_ = {.scheme = *find_kv_scheme(scheme), .heads = config.kv_head_count};
    const std::int64_t count = config.layer_count * (kv_.scheme->per_head ? kv_.heads : 1);
    for (std::int64_t i = 0; kv_.scheme->calibrated && i < count; ++i) {
      kv_.key_scales.push_back(0.1F + static_cast<float>(i));
      kv_.value_scales.push_back(0.3F + static_cast<float>(i));
    }
    const fs::path out = scratch_.path() / ("source-" + lane + std::string(scheme));
    EXPECT_TRUE(run(*source, lane, out, &kv_).has_value());
    return open_checkpoint(out);
  }
  static Result<QuantizeSummary> run(const Checkpoint& source, const std::string& lane_name,
                                     const fs::path& out, const KvRounding* kv = nullptr) {
    const Lane lane = find_lane(lane_name).value();
    ThreadPool pool(2);
    return run_quantize(
        {.source = source, .lane = lane, .out = out, .kv = kv, .allow_requantize = true}, pool,
        no_progress());
  }
  void expect_kept(const Checkpoint& source, const std::string& lane) {
    const fs::path out = scratch_.path() / ("kept-" + lane + std::string(kv_.scheme->name));
    const auto summary = run(source, lane, out);
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    for (const std::string& notice : summary->notices) EXPECT_THAT(notice, Not(HasSubstr("lost")));
    const auto read = open_checkpoint(out)->kv_rounding();
    ASSERT_TRUE(read.has_value()) << read.error().message();
    EXPECT_EQ(read->scheme, kv_.scheme) << lane;
    EXPECT_EQ(read->key_scales, kv_.key_scales) << lane;
    EXPECT_EQ(read->value_scales, kv_.value_scales) << lane;
  }
  void expect_lost(const Checkpoint& source, const std::string& lane, const std::string& reason) {
    const fs::path out = scratch_.path() / ("lost-" + lane + ".gguf");
    const auto summary =
        run(source, lane, lane.starts_with("gguf:") ? out : scratch_.path() / out.stem());
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    EXPECT_THAT(summary->notices, Contains(AllOf(HasSubstr("lost"), HasSubstr(reason)))) << lane;
    const Lane found = find_lane(lane).value();
    const auto plan =
        plan_quantize({.source = source, .lane = found, .allow_requantize = true}).value();
    EXPECT_THAT(plan.notices, Contains(AllOf(HasSubstr("lost"), HasSubstr(reason)))) << lane;
  }
  static std::shared_ptr<const Checkpoint> edited(const Checkpoint& source) {
    const Parameter& p = *source.graph()->find(Role::kKey, 0);
    WeightEdits edits;
    edits[p.name].row_factors.assign(static_cast<std::size_t>(p.rows), 2.0F);
    return source.with_edits(std::move(edits)).value();
  }

  const ScratchFolder scratch_;
  KvRounding kv_;
};

TEST_F(SourceCache, StaysInFoldersThatHoldIt) {
  for (const char* scheme : {"fp8", "fp8_head", "int8"}) {
    const auto source = made("fp8", scheme);
    for (const char* lane : {"fp8", "bf16", "f32"}) expect_kept(*source, lane);
  }
  expect_kept(*made("bf16", "fp8"), "w4a16");
}

TEST_F(SourceCache, IsLeftOutWithoutAWordWhereThatIsAskedFor) {
  const auto source = made("fp8", "fp8");
  for (const char* name : {"fp8", "bf16", "awq"}) {
    const Lane lane = find_lane(name).value();
    const fs::path out = scratch_.path() / ("none-" + std::string(name));
    ThreadPool pool(2);
    const auto summary = run_quantize(
        {.source = *source, .lane = lane, .out = out, .drops_kv = true, .allow_requantize = true},
        pool, no_progress());
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    EXPECT_THAT(summary->notices, Not(Contains(HasSubstr("key-value")))) << name;
    const auto artefact = open_checkpoint(out);
    EXPECT_FALSE(artefact->kv_rounding()->any()) << name;
    for (const TensorInfo& tensor : artefact->container().tensors())
      EXPECT_FALSE(names_kv_scale(tensor.name)) << tensor.name;
  }
}

TEST_F(SourceCache, IsSaidToBeLostWhereItIs) {
  const auto source = made("fp8", "fp8_head");
  expect_lost(*source, "gguf:q8_0", "no place for it");
  expect_lost(*source, "awq", "no place for it");
}

TEST_F(SourceCache, KeepsScalesOnlyOfTheSameWeights) {
  expect_lost(*edited(*made("bf16", "fp8")), "f32", "other weights");
  expect_kept(*edited(*made("bf16", "int8")), "f32");  // its scales are dynamic
}

// The same folder under an architecture that nobody knows: its weights are plain.
TEST_F(SourceCache, OfAnUnknownArchitectureIsLostWithItsScales) {
  const auto known = made("bf16", "fp8");
  auto edit = fixtures::EditableCheckpoint::read(known->path());
  edit.config.set("architectures", Json::array().push("NobodyForCausalLM"));
  edit.write(scratch_.path() / "unknown");
  const auto source = Checkpoint::open_any(scratch_.path() / "unknown").value();
  ASSERT_EQ(source->graph(), nullptr);
  for (const char* name : {"f16", "bf16", "w8a8+rtn"}) {
    const Lane lane = find_lane(name).value();
    const fs::path out = scratch_.path() / ("agnostic-" + std::string(name));
    ThreadPool pool(2);
    const auto summary = run_quantize(
        {.source = *source, .lane = lane, .out = out, .arch_agnostic = true}, pool, no_progress());
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    EXPECT_THAT(summary->notices, Contains(AllOf(HasSubstr("fp8, is lost"), HasSubstr("unknown"))));
    const auto written = Checkpoint::open_any(out).value();
    for (const TensorInfo& tensor : written->container().tensors())
      EXPECT_THAT(tensor.name, Not(HasSubstr("k_scale")));
    EXPECT_TRUE(written->config_json()["quantization_config"]["kv_cache_scheme"].is_null());
    const std::string query = "model.layers.0.self_attn.q_proj.weight";
    EXPECT_EQ(written->container().find(query)->shape, source->container().find(query)->shape);
  }
}

TEST_F(SourceCache, IsNoExcuseForQuantizedWeightsOfAnUnknownArchitecture) {
  const auto known = made("fp8", "fp8");
  auto edit = fixtures::EditableCheckpoint::read(known->path());
  edit.config.set("architectures", Json::array().push("NobodyForCausalLM"));
  edit.write(scratch_.path() / "unknown");
  const auto source = Checkpoint::open_any(scratch_.path() / "unknown").value();
  for (const char* name : {"f16", "fp8"}) {
    const Lane lane = find_lane(name).value();
    ThreadPool pool(2);
    const auto refused = run_quantize({.source = *source,
                                       .lane = lane,
                                       .out = scratch_.path() / "refused",
                                       .arch_agnostic = true,
                                       .allow_requantize = true},
                                      pool, no_progress());
    ASSERT_FALSE(refused.has_value()) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(refused.error().found, HasSubstr("quantized already"));
  }
}

TEST_F(SourceCache, GivesWayToOneThatIsAskedFor) {
  const auto source = made("fp8", "fp8");
  const KvRounding other{.scheme = *find_kv_scheme("int4")};
  const fs::path out = scratch_.path() / "other";
  ASSERT_TRUE(run(*source, "fp8", out, &other).has_value());
  EXPECT_EQ(open_checkpoint(out)->kv_rounding()->scheme, other.scheme);
}

}  // namespace
}  // namespace quantlane
