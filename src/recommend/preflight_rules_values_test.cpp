// Rules about what tensors hold: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

ArtefactFacts shared_scale(float k) {
  ArtefactFacts facts = compressed("nvfp4");
  for (LinearFacts& l : facts.linears) l.tensor_scale = 2.0F;
  linear(facts, "k_proj").tensor_scale = k;
  return facts;
}

std::vector<RuleTest> value_tests() {
  const EngineTarget vllm = target("vllm");
  return {
      {"bad-scale",
       {with(w4(), [](auto& f) { linear(f, "o_proj").bad_scale = "weight_scale[3] is zero"; }),
        vllm},
       {w4(), vllm}},
      {"bad-code",
       {with(fp8_facts(),
             [](auto& f) { linear(f, "o_proj").bad_code = "weight in row 1, column 2 is NaN"; }),
        vllm},
       {fp8_facts(), vllm}},
      {"nvfp4-shared-scale", {shared_scale(3.0F), vllm}, {shared_scale(2.0F), vllm}},
      {"ct-group-order",
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_order = true; }), vllm},
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_order = true; }),
        version(vllm, "0.29.0")}},
  };
}

TEST(PreflightValueRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_value_rules(), value_tests());
}

}  // namespace
}  // namespace quantlane
