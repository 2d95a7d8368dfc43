// Rules about TGI: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

std::vector<RuleTest> tgi_tests() {
  const ArtefactFacts native = block("fp8", scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128"));
  return {
      {"tgi-kv-heads", {w4(), target("tgi", "", 8)}, {w4(), target("tgi", "", 4)}},
      {"tgi-group-format",
       {with_key(w4(), "config_groups", R"({"a": {"format": "pack-quantized"}})"), target("tgi")},
       {with_key(w4(), "config_groups", R"({"a": {"format": "any"}})"), target("tgi")}},
      {"tgi-fp4", {compressed("nvfp4"), target("tgi")}, {fp8_facts(), target("tgi")}},
      {"tgi-gptq-asymmetric",
       {gptq("int4_g128_asym"), target("tgi")},
       {gptq("int4_g128_sym"), target("tgi")}},
      {"tgi-width", {compressed("int2_g128_sym"), target("tgi")}, {w4(), target("tgi")}},
      {"tgi-packed-ampere",
       {w4(), target("tgi", "t4")},
       {gptq("int4_g128_sym"), target("tgi", "t4")}},
      {"tgi-needs-ampere",
       {gptq("int4_g128_sym"), target("tgi", "t4")},
       {gptq("int4_g128_sym"), target("tgi", "a100")}},
      {"tgi-packed-group",
       {compressed("int4_g256_sym"), target("tgi")},
       {gptq("int4_g256_sym"), target("tgi")}},
      {"tgi-packed-zeros",
       {compressed("int4_g128_asym"), target("tgi")},
       {block("awq", scheme("int4_g128_asym")), target("tgi")}},
      {"tgi-packed-order",
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_order = true; }), target("tgi")},
       {w4(), target("tgi")}},
      {"tgi-int8-static",
       {compressed("int8_channel_sym", "int8_tensor"), target("tgi")},
       {int8(), target("tgi")}},
      {"tgi-gptq-v2",
       {block("gptq_v2", scheme("int4_g128_sym")), target("tgi", "t4")},
       {block("gptq_v2", scheme("int4_g128_sym")), target("tgi", "a100")}},
      {"tgi-marlin-shape",
       {resized(w4(), "o_proj", 512, 192), target("tgi", "", 2)},
       {resized(w4(), "o_proj", 512, 192), target("tgi")}},
      {"tgi-fp8-marlin", {fp8_facts(), target("tgi", "l4")}, {fp8_facts(), target("tgi", "h100")}},
      {"tgi-fp8-block", {native, target("tgi", "a100")}, {native, target("tgi", "h100")}},
  };
}

TEST(PreflightTgiRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_tgi_rules(), tgi_tests());
}

}  // namespace
}  // namespace quantlane
