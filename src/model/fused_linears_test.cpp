#include "model/fused_linears.h"

#include <gtest/gtest.h>

namespace quantlane {
namespace {

TEST(FusedLinears, HaveTheNameOfTheirProduct) {
  for (const char* part : {"q_proj", "k_proj", "v_proj"}) {
    EXPECT_EQ(fused_name("model.layers.3.self_attn." + std::string(part)),
              "model.layers.3.self_attn.qkv_proj");
  }
  EXPECT_EQ(fused_name("model.layers.3.mlp.up_proj"), "model.layers.3.mlp.gate_up_proj");
  EXPECT_EQ(fused_name("model.layers.3.mlp.gate_proj"), "model.layers.3.mlp.gate_up_proj");
  EXPECT_EQ(fused_name("experts.1.w3"), fused_name("experts.1.w1"));
  EXPECT_EQ(fused_name("v_proj"), "qkv_proj");
}

TEST(FusedLinears, AreOnlyThoseThatEnginesJoin) {
  EXPECT_EQ(fused_name("model.layers.3.mlp.down_proj"), "model.layers.3.mlp.down_proj");
  EXPECT_EQ(fused_name("a.no_q_proj"), "a.no_q_proj");
  EXPECT_EQ(fused_name(""), "");
}

TEST(FusedLinears, ExpertsOfALayerAreOneProduct) {
  const std::string down = "model.layers.0.mlp.experts.7.down_proj";
  EXPECT_TRUE(is_of_expert(down));
  EXPECT_EQ(fused_name_with_experts(down), "model.layers.0.mlp.experts");
  EXPECT_EQ(fused_name(down), down);
  EXPECT_FALSE(is_of_expert("model.layers.0.mlp.shared_experts_gate"));
  EXPECT_EQ(fused_name_with_experts("a.k_proj"), "a.qkv_proj");
}

}  // namespace
}  // namespace quantlane
