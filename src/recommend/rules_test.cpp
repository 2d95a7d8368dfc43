#include "recommend/rules.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recommend/test_facts.h"
#include "recommend/throughput_model.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs
using ::testing::Contains;
using ::testing::Not;

Situation situation(std::string_view on, Shape shape, std::int64_t concurrency = 1,
                    const ModelFacts& model = kLlama8B) {
  Situation s;
  s.device = device(on);
  s.model = model;
  s.workload = {.prompt_tokens = 1024, .output_tokens = 512, .concurrency = concurrency};
  s.workload.shape = shape;
  s.reference = reference(model);
  s.lanes = six_lanes(model);
  return s;
}

std::vector<std::string> codes(const Situation& s, const LaneFacts& lane) {
  std::vector<std::string> found;
  for (const Rule* rule : rules_for(s, lane)) found.emplace_back(rule->code);
  return found;
}

std::string best(const Situation& s) { return rank_lanes(s).front().lane; }

std::size_t place(const Situation& s, std::string_view lane) {
  const auto ranked = rank_lanes(s);
  const auto found = std::find_if(ranked.begin(), ranked.end(),
                                  [&](const RankedLane& r) { return r.lane == lane; });
  return static_cast<std::size_t>(found - ranked.begin());
}

bool excluded(const Situation& s, std::string_view lane) {
  return rank_lanes(s)[place(s, lane)].excluded;
}

TEST(Rules, F1_NoKernelExcludes) {
  const Situation s = situation("m2-max", Shape::kChat);
  EXPECT_TRUE(excluded(s, "w4a16"));
  EXPECT_TRUE(excluded(s, "fp8"));
  EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("NO_KERNEL"));
  EXPECT_FALSE(excluded(situation("h100-sxm", Shape::kChat), "w4a16"));
}

TEST(Rules, F3_ALaneThatNoServingEngineReadsIsNotForGpus) {
  const auto with_library_lane = [](std::string_view on) {
    Situation s = situation(on, Shape::kChat);
    for (LaneFacts& lane : s.lanes) lane.served = lane.name != "w4a16";
    return s;
  };
  LaneFacts lane = w4a16(kLlama8B);
  lane.served = false;
  EXPECT_TRUE(excluded(with_library_lane("h100-sxm"), "w4a16"));
  EXPECT_FALSE(excluded(with_library_lane("h100-sxm"), "fp8"));
  EXPECT_THAT(codes(with_library_lane("h100-sxm"), lane), Contains("NO_SERVING_ENGINE"));
  EXPECT_THAT(codes(with_library_lane("epyc-turin"), lane), Not(Contains("NO_SERVING_ENGINE")));
}

TEST(Rules, S1_Fp8FirstOnHopperForCodeMathAndLongContext) {
  for (const char* on : {"h100-sxm", "h200-sxm", "b200"}) {
    for (const Shape shape : {Shape::kCode, Shape::kMath}) {
      EXPECT_EQ(best(situation(on, shape)), "fp8") << on;
    }
    Situation lengthy = situation(on, Shape::kRag);
    lengthy.workload.prompt_tokens = 30000;
    EXPECT_EQ(best(lengthy), "fp8") << on;
  }
  const auto found = codes(situation("h100-sxm", Shape::kCode), fp8(kLlama8B));
  EXPECT_THAT(found, Contains("NATIVE_FP8"));
  EXPECT_THAT(found, Contains("TAIL_SENSITIVE"));
  EXPECT_THAT(codes(situation("h100-sxm", Shape::kChat), fp8(kLlama8B)),
              Not(Contains("TAIL_SENSITIVE")));
}

TEST(Rules, S2_W4A16FirstBeforeFp8HardwareForChat) {
  for (const char* on : {"a100-80g-sxm", "a100-40g-pcie", "a10", "rtx-3090"}) {
    const Situation s = situation(on, Shape::kChat);
    EXPECT_EQ(best(s), "w4a16") << on;
    EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("NO_FP8"));
    EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("BANDWIDTH_BOUND"));
  }
}

TEST(Rules, S4_GgufFirstOnLaptopsAppleAndProcessors) {
  for (const char* on : {"m2-max", "m4-max-40core", "ai-max-395", "ryzen-9000", "xeon-spr"}) {
    const Situation s = situation(on, Shape::kChat);
    EXPECT_EQ(best(s), "gguf:q4_k_m") << on;
    EXPECT_THAT(codes(s, q4_k_m(kLlama8B)), Contains("ONLY_KERNELS"));
  }
}

TEST(Rules, S5_EightBitArithmeticFirstWhenUnsure) {
  EXPECT_EQ(best(situation("h100-sxm", Shape::kUnknown)), "fp8");
  EXPECT_EQ(best(situation("l40s", Shape::kUnknown)), "fp8");
  EXPECT_EQ(best(situation("a100-80g-sxm", Shape::kUnknown)), "w8a8");
  EXPECT_THAT(codes(situation("h100-sxm", Shape::kUnknown), fp8(kLlama8B)),
              Contains("SAFE_DEFAULT"));
}

TEST(Rules, S6_LongContextDefersFourBitLanesUnlessChecked) {
  Situation s = situation("a100-80g-sxm", Shape::kChat);
  s.workload.prompt_tokens = 20000;
  EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("LONG_CTX_RISK"));
  EXPECT_THAT(codes(s, q4_k_m(kLlama8B)), Contains("LONG_CTX_RISK"));
  EXPECT_THAT(codes(s, w8a8(kLlama8B)), Not(Contains("LONG_CTX_RISK")));
  EXPECT_LT(place(s, "w8a8"), place(s, "w4a16"));
}

TEST(Rules, S7_LowBitGgufNeedsAnImportanceMatrix) {
  Situation s = situation("m2-max", Shape::kChat);
  LaneFacts q3 = gguf("gguf:q3_k_m", kLlama8B, 3.91);
  q3.calibrated = false;
  s.lanes.push_back(q3);
  EXPECT_TRUE(excluded(s, "gguf:q3_k_m"));
  EXPECT_THAT(codes(s, q3), Contains("IMATRIX_REQUIRED"));
  s.lanes.back().calibrated = true;
  EXPECT_FALSE(excluded(s, "gguf:q3_k_m"));
}

TEST(Rules, S8_GgufIsTheWrongEngineForManyRequestsOnAServerGpu) {
  EXPECT_THAT(codes(situation("a100-80g-sxm", Shape::kChat, 5), q4_k_m(kLlama8B)),
              Contains("WRONG_ENGINE"));
  EXPECT_THAT(codes(situation("a100-80g-sxm", Shape::kChat, 4), q4_k_m(kLlama8B)),
              Not(Contains("WRONG_ENGINE")));
  EXPECT_THAT(codes(situation("xeon-spr", Shape::kChat, 8), q4_k_m(kLlama8B)),
              Not(Contains("WRONG_ENGINE")));
}

TEST(Rules, S10_Fp4IsOfferedBesideFp8OnServerBlackwell) {
  Situation s = situation("b200", Shape::kChat);
  s.lanes.push_back(nvfp4(kLlama8B));
  EXPECT_THAT(codes(s, s.lanes.back()), Contains("FP4_NATIVE"));
  EXPECT_FALSE(excluded(s, "nvfp4"));
  EXPECT_FALSE(excluded(s, "fp8"));
}

TEST(Rules, E1_AdaOffersFp8AndInt4AndConcurrencyDecides) {
  for (const char* on : {"l40s", "l4", "rtx-4090"}) {
    const Situation few = situation(on, Shape::kChat, 1);
    EXPECT_FALSE(excluded(few, "fp8")) << on;
    EXPECT_THAT(codes(few, w4a16(kLlama8B)), Not(Contains("NO_FP8"))) << "S2 must not fire";
    EXPECT_THAT(codes(few, w4a16(kLlama8B)), Contains("CONCURRENCY_DECIDES"));
    EXPECT_LT(place(few, "w4a16"), place(few, "fp8")) << on;
    const Situation many = situation(on, Shape::kChat, 32);
    EXPECT_LT(place(many, "fp8"), place(many, "w4a16")) << on;
  }
}

TEST(Rules, E2_A100PrefersInt8ForManyRequestsAndLongPrompts) {
  const Situation many = situation("a100-80g-sxm", Shape::kChat, 32);
  EXPECT_LT(place(many, "w8a8"), place(many, "w4a16"));
  EXPECT_EQ(best(many), "w8a8");
  EXPECT_THAT(codes(many, w8a8(kLlama8B)), Contains("INT8_COMPUTE"));
  Situation prompts = situation("a100-80g-sxm", Shape::kRag, 1);
  prompts.workload.prompt_tokens = 8000;
  prompts.workload.output_tokens = 100;
  EXPECT_EQ(best(prompts), "w8a8");
}

TEST(Rules, E3_HopperWithFewRequestsKeepsInt4BesideFp8) {
  const Situation s = situation("h100-sxm", Shape::kChat, 2);
  EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("LOW_CONCURRENCY"));
  const auto ranked = rank_lanes(s);
  const std::set<std::string> first = {ranked[0].lane, ranked[1].lane};
  EXPECT_TRUE(first.contains("w4a16"));
  EXPECT_THAT(codes(situation("h100-sxm", Shape::kChat, 5), w4a16(kLlama8B)),
              Not(Contains("LOW_CONCURRENCY")));
}

TEST(Rules, E4_Int4IsSlowerThanBf16For64RequestsOnH100) {
  Situation s = situation("h100-sxm", Shape::kChat, 64);
  s.workload.prompt_tokens = 2048;
  s.workload.output_tokens = 128;
  EXPECT_GT(workload_seconds(kLlama8B, w4a16(kLlama8B), s.device, s.workload),
            workload_seconds(kLlama8B, reference(kLlama8B), s.device, s.workload));
  EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("SLOWER_THAN_REFERENCE"));
  EXPECT_THAT(codes(s, fp8(kLlama8B)), Not(Contains("SLOWER_THAN_REFERENCE")));
  EXPECT_THAT(codes(s, s.reference), Not(Contains("SLOWER_THAN_REFERENCE")));
}

TEST(Rules, E5_Int8IsDeadOnB300) {
  for (const char* on : {"b300", "gb300"}) {
    EXPECT_TRUE(excluded(situation(on, Shape::kChat), "w8a8")) << on;
    EXPECT_THAT(codes(situation(on, Shape::kChat), w8a8(kLlama8B)), Contains("INT8_SLOW_HW"));
  }
  EXPECT_FALSE(excluded(situation("b200", Shape::kChat), "w8a8"));
}

TEST(Rules, E6_ClientBlackwellAllowsFp4WeightsWithACheck) {
  for (const char* on : {"rtx-5090", "rtx-pro-6000", "gb10"}) {
    Situation s = situation(on, Shape::kChat);
    s.lanes.push_back(nvfp4(kLlama8B));
    EXPECT_THAT(codes(s, s.lanes.back()), Contains("CHECK_ENGINE_VERSION")) << on;
    EXPECT_THAT(codes(s, s.lanes.back()), Not(Contains("FP4_NATIVE"))) << on;
    EXPECT_FALSE(excluded(s, "nvfp4")) << on;
  }
}

TEST(Rules, E7_Mi300ConvertsFp8AndHasNoMarlin) {
  for (const char* on : {"mi300x", "mi325x"}) {
    EXPECT_THAT(codes(situation(on, Shape::kChat), fp8(kLlama8B)), Contains("FP8_FNUZ"));
    EXPECT_THAT(codes(situation(on, Shape::kChat), w4a16(kLlama8B)), Contains("NO_MARLIN"));
  }
  EXPECT_THAT(codes(situation("mi355x", Shape::kChat), fp8(kLlama8B)), Not(Contains("FP8_FNUZ")));
}

TEST(Rules, E8_Fp8OnAmpereSavesMemoryOnly) {
  const Situation s = situation("a100-80g-sxm", Shape::kCode, 4);
  EXPECT_THAT(codes(s, fp8(kLlama8B)), Contains("MEMORY_ONLY"));
  EXPECT_FALSE(excluded(s, "fp8"));
  EXPECT_LT(place(s, "w8a8"), place(s, "fp8"));
}

TEST(Rules, E9_SmallModelsPreferEightBits) {
  for (const char* on : {"h100-sxm", "rtx-3090", "l4"}) {
    const Situation s = situation(on, Shape::kCode, 1, kSmol);
    EXPECT_THAT(codes(s, w4a16(kSmol)), Contains("SMALL_MODEL"));
    EXPECT_NE(best(s), "w4a16") << on;
    EXPECT_NE(best(s), "gguf:q4_k_m") << on;
  }
}

TEST(Rules, E10_MediumModelsNeedPairedTestsForCode) {
  const Situation s = situation("l40s", Shape::kCode);
  EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("MEASURE_FLIPS"));
  EXPECT_LT(place(s, "fp8"), place(s, "w4a16"));
  EXPECT_THAT(codes(situation("l40s", Shape::kChat), w4a16(kLlama8B)),
              Not(Contains("MEASURE_FLIPS")));
}

TEST(Rules, E11_LargeModelsMayUseFourBits) {
  EXPECT_THAT(codes(situation("h100-sxm", Shape::kCode, 1, kLlama70B), w4a16(kLlama70B)),
              Contains("LARGE_MODEL"));
  EXPECT_THAT(codes(situation("h100-sxm", Shape::kCode), w4a16(kLlama8B)),
              Not(Contains("LARGE_MODEL")));
}

TEST(Rules, E14_TheCacheIsNamedWhenItDominates) {
  Situation s = situation("h200-sxm", Shape::kRag, 32);
  s.workload.prompt_tokens = 8000;
  EXPECT_THAT(codes(s, fp8(kLlama8B)), Contains("KV_DOMINATES"));
  EXPECT_THAT(codes(situation("h200-sxm", Shape::kRag), fp8(kLlama8B)),
              Not(Contains("KV_DOMINATES")));
}

TEST(Rules, E15_LongContextNeverBansInt4) {
  Situation s = situation("h100-sxm", Shape::kChat);
  s.workload.prompt_tokens = 20000;
  EXPECT_FALSE(excluded(s, "w4a16"));
  for (LaneFacts& lane : s.lanes) lane.long_context_checked = true;
  EXPECT_THAT(codes(s, s.lanes[2]), Contains("LONG_CTX_CHECKED"));
  EXPECT_THAT(codes(s, s.lanes[2]), Not(Contains("LONG_CTX_RISK")));
}

TEST(Rules, E16_OtherLanguagesRaiseTheRiskOfFourBits) {
  Situation s = situation("rtx-4090", Shape::kChat);
  s.workload.english = false;
  EXPECT_THAT(codes(s, w4a16(kLlama8B)), Contains("NON_ENGLISH"));
  EXPECT_LT(place(s, "fp8"), place(s, "w4a16"));
}

TEST(Rules, E18_StructuredOutputAsksForItsOwnGate) {
  EXPECT_THAT(codes(situation("h100-sxm", Shape::kJson), w4a16(kLlama8B)),
              Contains("STRUCTURED_OUTPUT"));
}

TEST(Rules, E22_ProcessorsWithMatrixUnitsOfferInt8AndNoneEmulateFp8) {
  EXPECT_THAT(codes(situation("xeon-emr", Shape::kChat), w8a8(kLlama8B)), Contains("AMX_INT8"));
  EXPECT_THAT(codes(situation("epyc-genoa", Shape::kChat), w8a8(kLlama8B)),
              Not(Contains("AMX_INT8")));
  EXPECT_TRUE(excluded(situation("epyc-genoa", Shape::kChat), "fp8"));
}

TEST(Rules, E23_UnifiedMemoryIsSharedWithTheSystem) {
  EXPECT_THAT(codes(situation("m3-ultra", Shape::kChat), q4_k_m(kLlama8B)),
              Contains("UNIFIED_MEMORY"));
}

TEST(Rules, E25_WhatDoesNotFitIsExcludedAndATightFitIsNamed) {
  Situation s = situation("h100-sxm", Shape::kChat, 1, kLlama70B);
  s.workload = {.prompt_tokens = 3000, .output_tokens = 1000, .concurrency = 1};
  EXPECT_THAT(codes(s, s.reference), Contains("DOES_NOT_FIT"));
  EXPECT_THAT(codes(s, fp8(kLlama70B)), Contains("TIGHT_FIT"));
  EXPECT_TRUE(excluded(situation("rtx-4090", Shape::kChat, 1, kLlama70B), "w4a16"));
}

TEST(Rules, EveryRowHasAnIdACodeAndASentence) {
  for (const Rule& rule : rules()) {
    EXPECT_FALSE(rule.id.empty());
    EXPECT_FALSE(rule.code.empty());
    EXPECT_GT(rule.text.size(), 20u) << rule.code;
    EXPECT_NE(rule.applies, nullptr);
  }
}

TEST(Rules, RankedLanesAlwaysHaveReasonsAndExcludedOnesComeLast) {
  const std::vector<Device> all = devices().value();
  for (const Device& d : all) {
    for (const Shape shape : {Shape::kUnknown, Shape::kChat, Shape::kCode}) {
      for (const std::int64_t concurrency : {1, 16, 256}) {
        Situation s = situation(d.name, shape, concurrency);
        bool was_excluded = false;
        for (const RankedLane& lane : rank_lanes(s)) {
          EXPECT_FALSE(lane.reasons.empty()) << d.name << " " << lane.lane;
          EXPECT_LE(was_excluded, lane.excluded) << d.name;
          was_excluded = lane.excluded;
        }
      }
    }
  }
}

}  // namespace
}  // namespace quantlane
