// Rules about what attends to an FP8 cache: an artefact that breaks each, and a neighbour that does
// not.
#include <gtest/gtest.h>

#include "recommend/preflight_kv_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

ArtefactFacts configured(ArtefactFacts facts, const std::string& key, Json value) {
  facts.config.set(key, std::move(value));
  return facts;
}
ArtefactFacts heads(ArtefactFacts facts, std::int64_t size) {
  return configured(std::move(facts), "head_dim", size);
}
ArtefactFacts latent(ArtefactFacts facts) {
  return configured(std::move(facts), "kv_lora_rank", 512);
}
ArtefactFacts per_tensor(std::int64_t size) { return heads(kv(kFp8Cache), size); }
ArtefactFacts per_head(std::int64_t size) { return heads(kv(kHeads, 4, 4), size); }
ArtefactFacts layers(const std::vector<std::string>& types) {
  Json list = Json::array();
  for (const std::string& type : types) list.push(type);
  return configured(kv(kFp8Cache), "layer_types", list);
}
// As ModelOpt names them.
ArtefactFacts below_projections(ArtefactFacts facts) {
  for (AttentionFacts& attention : facts.attentions) {
    attention.key.tensor = attention.name + ".k_proj.k_scale";
    attention.value.tensor = attention.name + ".v_proj.v_scale";
  }
  return facts;
}

std::vector<RuleTest> attention_tests() {
  const EngineTarget vllm = target("vllm");
  const EngineTarget tgi = target("tgi");
  const EngineTarget cpu = target("vllm", "epyc-turin");
  const EngineTarget hopper = target("vllm", "h100-sxm");
  const EngineTarget ada = target("vllm", "l4");
  const EngineTarget ampere = target("vllm", "a100-80g-sxm");
  return {
      {"kv-latent", {latent(kv(kFp8Cache)), vllm}, {latent(modelopt(kv(kFp8Cache))), vllm}},
      {"kv-latent-cpu",
       {latent(modelopt(kv(kFp8Cache))), cpu},
       {latent(modelopt(kv(kFp8Cache))), version(cpu, "0.32.0")}},
      {"kv-head-kernel", {per_head(128), ada}, {per_head(128), hopper}},
      {"kv-fp8-kernel", {per_tensor(96), ampere}, {per_tensor(128), ampere}},
      {"kv-triton", {per_tensor(96), ada}, {per_tensor(256), ada}},
      {"cpu-kv-heads", {per_tensor(80), cpu}, {per_tensor(96), cpu}},
      {"cpu-kv-one-scale", {per_head(96), cpu}, {per_tensor(96), cpu}},
      {"kv-windows",
       {layers({"sliding_attention", "full_attention"}), vllm},
       {layers({"full_attention", "full_attention"}), vllm}},
      {"kv-latent-scales",
       {latent(kv(kFp8Cache)), target("sglang")},
       {below_projections(latent(kv(kFp8Cache))), target("sglang")}},
      {"tgi-kv-flashinfer", {per_tensor(96), tgi}, {per_tensor(64), tgi}},
  };
}

TEST(PreflightAttentionRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_attention_rules(), attention_tests());
}

// vLLM's get_flash_attn_version(), FlashInfer's and Triton's limits, device by device.
TEST(PreflightAttentionRules, SizesOfHeadsMeetTheAttentionOfTheDevice) {
  struct Row {
    const char* device;
    std::int64_t size;
    bool by_head, by_tensor, triton;
  };
  for (const Row& row :
       {Row{"t4", 128, false, false, false}, Row{"a100-80g-sxm", 64, false, true, false},
        Row{"a100-80g-sxm", 80, false, false, false}, Row{"l4", 256, false, true, false},
        Row{"l4", 80, false, true, true}, Row{"h100-sxm", 80, true, true, false},
        Row{"h100-sxm", 256, true, true, false}, Row{"h100-sxm", 320, false, true, true},
        Row{"h100-sxm", 512, true, true, false}, Row{"b200", 128, true, true, false},
        Row{"b200", 96, true, true, false}, Row{"b200", 256, false, true, false},
        Row{"rtx-5090", 128, false, true, false}, Row{"rtx-5090", 96, false, true, true},
        Row{"mi300x", 128, false, true, false}}) {
    const EngineTarget at = target("vllm", row.device);
    const std::string text = row.device + std::string(" ") + std::to_string(row.size);
    EXPECT_EQ(!fires("kv-head-kernel", {per_head(row.size), at}), row.by_head) << text;
    EXPECT_EQ(!fires("kv-fp8-kernel", {per_tensor(row.size), at}), row.by_tensor) << text;
    EXPECT_EQ(fires("kv-triton", {per_tensor(row.size), at}), row.triton) << text;
  }
}

TEST(PreflightAttentionRules, OneHeadOnACpuHasItsOwnScale) {
  const EngineTarget cpu = target("vllm", "epyc-turin");
  const ArtefactFacts one = configured(per_head(96), "num_key_value_heads", 1);
  EXPECT_FALSE(fires("cpu-kv-one-scale", {one, cpu}));
  // As many ranks as heads.
  EXPECT_FALSE(fires("cpu-kv-one-scale", {per_head(96), target("vllm", "epyc-turin", 4)}));
  EXPECT_FALSE(fires("cpu-kv-one-scale", {per_head(96), target("vllm", "h100-sxm")}));
  EXPECT_FALSE(preflight(per_head(96), cpu).usable());
}

TEST(PreflightAttentionRules, HeadsThatConfigurationsLeaveOutAreCounted) {
  // hidden_size over num_attention_heads: 96.
  const ArtefactFacts counted = configured(kv(kFp8Cache), "hidden_size", 768);
  EXPECT_TRUE(fires("kv-triton", {counted, target("vllm", "l4")}));
  EXPECT_TRUE(fires("tgi-kv-flashinfer", {counted, target("tgi")}));
  // Of the text model, where it is nested.
  const ArtefactFacts nested =
      configured(kv(kFp8Cache), "text_config", Json::object({{"head_dim", 96}}));
  EXPECT_TRUE(fires("kv-triton", {nested, target("vllm", "l4")}));
  // Not known.
  EXPECT_FALSE(fires("kv-triton", {kv(kFp8Cache), target("vllm", "l4")}));
}

// vLLM reads the scheme as it builds Attention, so that latent attention meets none of the rules
// about it.
TEST(PreflightAttentionRules, LatentAttentionIsAskedNothingElse) {
  for (const std::string_view json :
       {kFp8Cache, kHeads, kInt8, kInt8Groups, kAsymmetric, kDynamic}) {
    for (const char* device : {"h100-sxm", "l4", "epyc-turin"}) {
      std::vector<std::string> rules;
      for (const auto& finding : preflight(latent(kv(json)), target("vllm", device)).findings) {
        if (finding.rule.find("kv-") != std::string::npos) rules.push_back(finding.rule);
      }
      EXPECT_EQ(rules, std::vector<std::string>{"kv-latent"}) << json << device;
    }
  }
}

TEST(PreflightAttentionRules, WindowsOfOneKindNeedNoWord) {
  const EngineTarget vllm = target("vllm");
  EXPECT_FALSE(fires("kv-windows", {layers({"sliding_attention", "sliding_attention"}), vllm}));
  EXPECT_FALSE(fires("kv-windows", {configured(kv(kFp8Cache), "sliding_window", 4096), vllm}));
  const ArtefactFacts gemma =
      configured(configured(kv(kFp8Cache), "sliding_window", 4096), "model_type", "gemma2");
  EXPECT_TRUE(fires("kv-windows", {gemma, vllm}));
}

}  // namespace
}  // namespace quantlane
