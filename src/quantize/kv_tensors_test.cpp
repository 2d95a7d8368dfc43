// The scheme of the key-value cache, written with the weights and read back.
#include "quantize/kv_tensors.h"

#include <cstring>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using fixtures::EditableCheckpoint;
using fixtures::model_data;
using fixtures::open_checkpoint;
using fixtures::ScratchFolder;

// Scales that differ everywhere.
KvRounding rounding_for(const Checkpoint& source, std::string_view name) {
  const ModelConfig& config = source.graph()->config;
  KvRounding kv{.scheme = *find_kv_scheme(name), .heads = config.kv_head_count};
  const std::int64_t count = config.layer_count * (kv.scheme->per_head ? kv.heads : 1);
  for (std::int64_t i = 0; i < count; ++i) {
    kv.key_scales.push_back(0.5F + static_cast<float>(i));
    kv.value_scales.push_back(0.25F + static_cast<float>(i));
  }
  return kv;
}

Lane fp8_lane(std::string_view dialect) {
  Lane lane;
  lane.name = "fp8";
  lane.algorithm = "rtn";
  lane.dialect = dialect_by_name(dialect);
  lane.scheme = {.weight = Scheme::parse("fp8_e4m3_channel").value(),
                 .input = ActivationScheme::parse("fp8_e4m3_token").value()};
  lane.dialect->writer->complete(lane.scheme, DType::kBF16);
  return lane;
}

Result<QuantizeSummary> write(const Checkpoint& source, const Lane& lane, const KvRounding& kv,
                              const fs::path& out) {
  ThreadPool pool(1);
  return run_quantize({.source = source, .lane = lane, .out = out, .kv = &kv}, pool, no_progress());
}

TEST(KvTensors, SchemeAndScalesComeBackFromBothDialects) {
  const auto source = open_checkpoint(model_data("llama"));
  ASSERT_NE(source, nullptr);
  const ScratchFolder folder;
  for (const char* dialect : {"compressed-tensors", "modelopt"}) {
    for (const char* scheme : {"fp8", "fp8_head"}) {
      // ModelOpt has scales per tensor only.
      if (std::string_view(dialect) == "modelopt" && std::string_view(scheme) != "fp8") continue;
      const KvRounding kv = rounding_for(*source, scheme);
      const fs::path out = folder.path() / (std::string(dialect) + scheme);
      const auto written = write(*source, fp8_lane(dialect), kv, out);
      ASSERT_TRUE(written.has_value()) << written.error().message();
      const auto artefact = open_checkpoint(out);
      ASSERT_NE(artefact, nullptr);
      const auto read = artefact->kv_rounding();
      ASSERT_TRUE(read.has_value()) << read.error().message();
      ASSERT_TRUE(read->any());
      EXPECT_EQ(read->scheme->name, scheme);
      EXPECT_EQ(read->key_scales, kv.key_scales) << dialect;
      EXPECT_EQ(read->value_scales, kv.value_scales) << dialect;
    }
  }
}

TEST(KvTensors, ThePlanNamesThemAsEnginesDo) {
  const auto source = open_checkpoint(model_data("llama"));
  ASSERT_NE(source, nullptr);
  const Lane lane = fp8_lane("compressed-tensors");
  const KvRounding scheme_only{.scheme = *find_kv_scheme("fp8")};
  const auto plan = plan_quantize({.source = *source, .lane = lane, .kv = &scheme_only});
  ASSERT_TRUE(plan.has_value()) << plan.error().message();
  const auto has = [&](std::string_view name) {
    return std::ranges::any_of(plan->tensors,
                               [&](const PlannedTensor& t) { return t.name == name; });
  };
  EXPECT_TRUE(has("model.layers.0.self_attn.k_scale"));
  EXPECT_TRUE(has("model.layers.0.self_attn.v_scale"));
  EXPECT_EQ(plan->config["quantization_config"]["kv_cache_scheme"]["strategy"].string(), "tensor");
}

TEST(KvTensors, MissingScalesCountAsOneAndBadOnesAreNamed) {
  const auto source = open_checkpoint(model_data("llama"));
  ASSERT_NE(source, nullptr);
  const ScratchFolder folder;
  const KvRounding kv = rounding_for(*source, "fp8");
  ASSERT_TRUE(write(*source, fp8_lane("compressed-tensors"), kv, folder.path() / "a").has_value());
  const std::string key = "model.layers.0.self_attn.k_scale";
  fs::create_directories(folder.path() / "b");
  auto edited = EditableCheckpoint::read(folder.path() / "a");
  edited.erase(key);
  edited.write(folder.path() / "b");
  const auto missing = open_checkpoint(folder.path() / "b");
  ASSERT_NE(missing, nullptr);
  EXPECT_EQ(missing->kv_rounding()->key_scales[0], 1);
  edited = EditableCheckpoint::read(folder.path() / "a");
  std::memset(edited.tensor(key).bytes.data(), 0, 4);
  edited.write(folder.path() / "b");
  const auto zero = open_checkpoint(folder.path() / "b");
  ASSERT_NE(zero, nullptr);
  const auto read = zero->kv_rounding();
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(read.error().tensor, key);
}

TEST(KvTensors, ASchemeThatIsNotKnownIsAnError) {
  const auto source = open_checkpoint(model_data("llama"));
  ASSERT_NE(source, nullptr);
  const ScratchFolder folder;
  const KvRounding kv = rounding_for(*source, "fp8");
  ASSERT_TRUE(write(*source, fp8_lane("compressed-tensors"), kv, folder.path() / "a").has_value());
  auto edited = EditableCheckpoint::read(folder.path() / "a");
  Json quantization = edited.config["quantization_config"];
  Json scheme = quantization["kv_cache_scheme"];
  scheme.set("num_bits", 4);
  scheme.set("type", "int");
  quantization.set("kv_cache_scheme", scheme);
  edited.config.set("quantization_config", quantization);
  fs::create_directories(folder.path() / "b");
  edited.write(folder.path() / "b");
  const auto artefact = open_checkpoint(folder.path() / "b");
  ASSERT_NE(artefact, nullptr);
  const auto read = artefact->kv_rounding();
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kUnsupported);
}

TEST(KvTensors, LanesAndSchemesThatHaveNoneAreRefused) {
  const auto source = open_checkpoint(model_data("llama"));
  ASSERT_NE(source, nullptr);
  const ScratchFolder folder;
  const auto code = [&](const Lane& lane, std::string_view scheme, const fs::path& out) {
    const KvRounding kv = rounding_for(*source, scheme);
    const auto written = write(*source, lane, kv, out);
    EXPECT_FALSE(written.has_value());
    EXPECT_FALSE(fs::exists(out));
    return written ? ErrorCode::kInternal : written.error().code;
  };
  EXPECT_EQ(code(*find_lane("gguf:q8_0"), "fp8", folder.path() / "x.gguf"), ErrorCode::kUsage);
  EXPECT_EQ(code(*find_lane("bf16"), "fp8", folder.path() / "x"), ErrorCode::kUsage);
  EXPECT_EQ(code(fp8_lane("compressed-tensors"), "int8", folder.path() / "x"), ErrorCode::kUsage);
}

}  // namespace
}  // namespace quantlane
