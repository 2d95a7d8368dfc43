// The scheme of the key-value cache, written with the weights and read back.
#include "quantize/folder/kv_tensors.h"

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

TEST(KvTensors, WithoutAnyScaleTheyCountAsOneAndSomeMissingOrBadOnesAreNamed) {
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
  const auto some = open_checkpoint(folder.path() / "b");
  ASSERT_NE(some, nullptr);
  const auto partial = some->kv_rounding();
  ASSERT_FALSE(partial.has_value());
  EXPECT_EQ(partial.error().code, ErrorCode::kCorrupt);
  for (std::int64_t layer = 1; layer < source->graph()->config.layer_count; ++layer)
    edited.erase("model.layers." + std::to_string(layer) + ".self_attn.k_scale");
  edited.write(folder.path() / "b");
  const auto none = open_checkpoint(folder.path() / "b");
  ASSERT_NE(none, nullptr);
  const auto ones = none->kv_rounding();
  ASSERT_TRUE(ones.has_value());
  EXPECT_EQ(ones->key_scales[0], 1);
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
  scheme.set("num_bits", 4);  // floats of 4 bits
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
  EXPECT_EQ(code(*find_lane("gguf:bf16"), "int8", folder.path() / "x.gguf"), ErrorCode::kUsage);
  for (const char* lane : {"awq", "gptq", "nf4", "fp8-block"})
    EXPECT_EQ(code(*find_lane(lane), "fp8", folder.path() / "x"), ErrorCode::kUsage) << lane;
  // ModelOpt's configuration says FP8 under one scale per layer, whatever the tensors hold.
  for (const char* scheme : {"fp8_head", "int8", "int4"})
    EXPECT_EQ(code(fp8_lane("modelopt"), scheme, folder.path() / "x"), ErrorCode::kUsage) << scheme;
}

TEST(KvTensors, IntegersPerTokenAndHeadAreASchemeWithoutTensors) {
  const auto source = open_checkpoint(model_data("llama"));
  ASSERT_NE(source, nullptr);
  const ScratchFolder folder;
  for (const std::string scheme : {"int8", "int4"}) {
    const KvRounding kv{.scheme = *find_kv_scheme(scheme)};
    const fs::path out = folder.path() / scheme;
    ASSERT_TRUE(write(*source, fp8_lane("compressed-tensors"), kv, out).has_value());
    const auto artefact = open_checkpoint(out);
    ASSERT_NE(artefact, nullptr);
    EXPECT_TRUE(std::ranges::none_of(artefact->container().tensors(), [](const TensorInfo& tensor) {
      return tensor.name.ends_with("k_scale");
    }));
    // As the library computes scales: groups along the last dimension of [B, H, T, head_dim].
    const Json& args = artefact->config_json()["quantization_config"]["kv_cache_scheme"];
    EXPECT_EQ(args["type"].string(), "int");
    EXPECT_EQ(args["strategy"].string(), "group");
    EXPECT_EQ(args["group_size"].integer(), source->graph()->config.head_dim);
    EXPECT_TRUE(args["dynamic"].boolean());
    const auto read = artefact->kv_rounding();
    ASSERT_TRUE(read.has_value()) << read.error().message();
    EXPECT_EQ(read->scheme->name, scheme);
    EXPECT_EQ(read->heads, source->graph()->config.kv_head_count);
  }
  // Other groups round otherwise.
  auto edited = EditableCheckpoint::read(folder.path() / "int8");
  Json quantization = edited.config["quantization_config"];
  Json args = quantization["kv_cache_scheme"];
  args.set("group_size", 4);
  quantization.set("kv_cache_scheme", args);
  edited.config.set("quantization_config", quantization);
  edited.write(folder.path() / "int8");
  const auto other = open_checkpoint(folder.path() / "int8");
  ASSERT_NE(other, nullptr);
  const auto refused = other->kv_rounding();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
}

TEST(KvTensors, PlainWeightsCarryACacheAlone) {
  const auto source = open_checkpoint(model_data("llama"));
  ASSERT_NE(source, nullptr);
  const ScratchFolder folder;
  for (const std::string scheme : {"fp8", "fp8_head", "int8"}) {
    const KvRounding kv = rounding_for(*source, scheme);
    const fs::path out = folder.path() / scheme;
    const auto written = write(*source, *find_lane("bf16"), kv, out);
    ASSERT_TRUE(written.has_value()) << written.error().message();
    const auto artefact = open_checkpoint(out);
    ASSERT_NE(artefact, nullptr);
    const Json& config = artefact->config_json()["quantization_config"];
    EXPECT_EQ(config["format"].string(), "dense");
    EXPECT_TRUE(config["config_groups"].is_object());
    EXPECT_TRUE(config["config_groups"].members().empty());
    const auto read = artefact->kv_rounding();
    ASSERT_TRUE(read.has_value()) << read.error().message();
    EXPECT_EQ(read->scheme->name, scheme);
    if (kv.scheme->calibrated) {
      EXPECT_EQ(read->key_scales, kv.key_scales);
      EXPECT_EQ(read->value_scales, kv.value_scales);
    }
    for (const Parameter& p : source->graph()->parameters) {
      const auto weight = artefact->weight(p);
      ASSERT_TRUE(weight.has_value()) << weight.error().message();
      EXPECT_FALSE(weight->is_quantized()) << p.name;
    }
  }
}

}  // namespace
}  // namespace quantlane
