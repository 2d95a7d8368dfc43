// Which attentions of a folder have scales of the key-value cache, by the names of several writers.
#include "recommend/kv_facts.h"

#include <gtest/gtest.h>

#include "recommend/preflight_facts.h"

namespace quantlane {
namespace {

std::vector<AttentionFacts> attentions(const std::vector<std::string>& names) {
  std::vector<PlannedTensor> plan;
  for (const std::string& name : names) {
    const bool weight = name.ends_with("weight");
    plan.push_back(
        {.name = name,
         .type = {.plain = DType::kF32},
         .shape = weight ? std::vector<std::int64_t>{4, 4} : std::vector<std::int64_t>{2, 1}});
  }
  return planned_artefact_facts(Json::object({{"model_type", "llama"}}), plan).value().attentions;
}

TEST(KvFacts, ScalesAreFoundUnderTheNamesOfEveryWriter) {
  for (const char* name : {"k_scale", "k_proj.k_scale", "k_proj.output_scale"}) {
    const std::string whole = std::string("model.layers.0.self_attn.") + name;
    const auto found = attentions({whole, "model.layers.0.self_attn.k_proj.weight"});
    ASSERT_EQ(found.size(), 1U) << name;
    EXPECT_EQ(found[0].name, "model.layers.0.self_attn");
    EXPECT_EQ(found[0].key.tensor, whole);
    EXPECT_EQ(found[0].key.count, 2);
    EXPECT_FALSE(found[0].value.stored());
  }
}

// A vision tower has attentions, and no cache.
TEST(KvFacts, LayersWithoutScalesCountWhereOthersOfTheirStackHaveThem) {
  const auto found =
      attentions({"visual.layers.0.attn.k_proj.weight", "model.layers.0.self_attn.k_proj.weight",
                  "model.layers.1.self_attn.k_proj.weight", "model.layers.1.self_attn.v_scale"});
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "model.layers.0.self_attn");
  EXPECT_FALSE(found[0].key.stored() || found[0].value.stored());
  EXPECT_TRUE(found[1].value.stored());
  EXPECT_TRUE(attentions({"model.layers.0.self_attn.k_proj.weight"}).empty());
}

}  // namespace
}  // namespace quantlane
