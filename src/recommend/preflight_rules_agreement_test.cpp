// Rules about the configuration and the tensors: an artefact that breaks each, and a neighbour that
// does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

ArtefactFacts with_values(std::string_view tensor) {
  ArtefactFacts facts = gptq("int4_g128_sym");
  linear(facts, "q_proj").values = {.tensor = "model." + std::string(tensor), .text = "others"};
  return facts;
}

ArtefactFacts stored_bits(std::int64_t bits) {
  ArtefactFacts facts = gptq("int4_g128_sym");
  for (LinearFacts& l : facts.linears) {
    if (l.scheme) l.stored_bits = bits;
  }
  return facts;
}

ArtefactFacts kept(std::string_view dialect, bool quantized) {
  ArtefactFacts facts = block(dialect, scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128"));
  linear(facts, "o_proj").kept_plain = true;
  linear(facts, "o_proj").stored_quantized = quantized;
  linear(facts, "o_proj").stored_plain = !quantized;
  return facts;
}

ArtefactFacts plain_down(bool listed) {
  ArtefactFacts facts = block("fp8", scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128"));
  LinearFacts& down = linear(facts, "down_proj");
  down.scheme.reset();
  down.stored_plain = true;
  down.kept_plain = listed;
  return facts;
}

std::vector<RuleTest> agreement_tests() {
  const EngineTarget vllm = target("vllm");
  const auto mismatch = [](std::string text) {
    return with(w4(), [&](auto& f) { f.mismatch = std::move(text); });
  };
  return {
      {"config-contradicts",
       {unreadable(gptq("int4_g128_sym"), true), vllm},
       {unreadable(gptq("int4_g128_sym"), false), vllm}},
      {"byte-order-mark", {with(w4(), [](auto& f) { f.config_mark = true; }), vllm}, {w4(), vllm}},
      {"tensors-differ", {mismatch("q_proj"), vllm}, {mismatch(""), vllm}},
      {"bits-differ", {stored_bits(8), vllm}, {stored_bits(4), vllm}},
      {"quantized-but-kept", {kept("fp8", true), vllm}, {kept("fp8", true), target("tgi")}},
      {"kept-without-scales",
       {kept("fp8", true), target("sglang")},
       {kept("fp8", false), target("sglang")}},
      {"fp8-unlisted", {plain_down(false), vllm}, {plain_down(true), vllm}},
      {"zeros-differ", {with_values("qzeros"), vllm}, {with_values("g_idx"), vllm}},
      {"order-out-of-range",
       {with(with_values("g_idx"),
             [](auto& f) { linear(f, "q_proj").values->out_of_range = true; }),
        vllm},
       {with_values("g_idx"), vllm}},
      {"codes-differ", {with_values("weight"), vllm}, {with_values("qzeros"), vllm}},
      {"order-differs", {with_values("g_idx"), vllm}, {with_values("qzeros"), vllm}},
  };
}

TEST(PreflightAgreementRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_agreement_rules(), agreement_tests());
}

TEST(Preflight, ContradictionsAreFoundWithoutAnEngine) {
  const auto found = find_contradictions(kept("fp8", true));
  ASSERT_EQ(found.size(), 1U);  // not once more for each engine
  EXPECT_EQ(found[0].rule, "quantized-but-kept");
  EXPECT_TRUE(find_contradictions(w4()).empty());
}

}  // namespace
}  // namespace quantlane
