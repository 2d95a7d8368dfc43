#include "recommend/preflight.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recommend/preflight_test_facts.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

TEST(Preflight, ASoundArtefactLoadsEverywhereItsMethodIsKnown) {
  for (const char* engine : {"vllm", "sglang", "tgi", "tensorrt-llm"}) {
    const PreflightAnswer answer = preflight(fp8_facts(), target(engine, "h100-sxm", 2));
    EXPECT_EQ(answer.worst, PreflightEffect::kNote) << engine;
    // Which version took scales per channel is all that TensorRT-LLM has to say.
    for (const PreflightFinding& finding : answer.findings) {
      EXPECT_EQ(finding.rule, "trt-fp8-channel") << engine;
      EXPECT_EQ(engine, std::string_view("tensorrt-llm"));
    }
  }
}

// Exllama and Triton add 1 to the zero points of GPTQ, those of version 2 too.
TEST(Preflight, TgiComputesSomethingElseFromZeroPointsOfGptqVersion2) {
  const auto v2 = [](std::string_view weight) { return block("gptq_v2", scheme(weight)); };
  EXPECT_TRUE(fires("tgi-gptq-v2", {v2("int4_g128_asym"), target("tgi")}));
  EXPECT_TRUE(fires("tgi-gptq-v2", {v2("int4_g256_sym"), target("tgi")}));
  EXPECT_TRUE(fires("tgi-gptq-v2", {v2("int4_g128_sym"), target("tgi", "mi300x")}));
  EXPECT_FALSE(fires("tgi-gptq-v2", {v2("int8_channel_sym"), target("tgi")}));
  EXPECT_FALSE(fires("tgi-gptq-v2", {gptq("int4_g128_asym"), target("tgi")}));
}

TEST(Preflight, VersionsOfVllmThatCameBeforeASchemeAreTooOld) {
  const auto refuses = [](ArtefactFacts facts, const char* engine_version) {
    return fires("engine-too-old", {std::move(facts), version(target("vllm"), engine_version)});
  };
  EXPECT_TRUE(refuses(compressed("nvfp4", "nvfp4"), "0.9.0.1"));
  EXPECT_FALSE(refuses(compressed("nvfp4", "nvfp4"), "0.9.1"));
  EXPECT_TRUE(refuses(compressed("mxfp4"), "0.13.0"));
  EXPECT_FALSE(refuses(compressed("mxfp4"), "0.14.0"));
}

TEST(Preflight, TheAnswerIsTheWorstFinding) {
  const PreflightAnswer slow = preflight(fp8_facts(), target("vllm", "a100"));
  EXPECT_EQ(preflight_answer_name(slow.worst), "loads with a slower kernel");
  EXPECT_TRUE(slow.usable());
  ArtefactFacts facts = fp8_facts();
  linear(facts, "v_proj").scheme.reset();
  const PreflightAnswer refused = preflight(facts, target("vllm", "a100"));
  EXPECT_EQ(preflight_answer_name(refused.worst), "will not load");
  EXPECT_FALSE(refused.usable());
  EXPECT_GE(refused.findings.size(), 2U);
}

// A configuration that this program cannot read is no reason to say "loads".
TEST(Preflight, WhatCannotBeReadIsNotSaidToLoad) {
  const PreflightAnswer answer =
      preflight(unreadable(gptq("int4_g128_sym"), false), target("vllm"));
  EXPECT_EQ(preflight_answer_name(answer.worst), "cannot be judged");
  EXPECT_FALSE(answer.usable());
}

// A row for several engines says of each where it is known from.
TEST(Preflight, SourcesAreThoseOfTheEngineAsked) {
  PreflightRule rule{};
  rule.source =
      "vLLM 1 and SGLang 2 parameter.py: \"assert\"; its guide; TGI 3 weights.py: get; "
      "TensorRT-LLM main linear.py";
  const auto of = [&](std::string_view engine) { return source_for(rule, **find_engine(engine)); };
  EXPECT_EQ(of("vllm"), "vLLM 1 and SGLang 2 parameter.py: \"assert\"; its guide");
  EXPECT_EQ(of("sglang"), of("vllm"));
  EXPECT_EQ(of("tgi"), "TGI 3 weights.py: get");
  EXPECT_EQ(of("tensorrt-llm"), "TensorRT-LLM main linear.py");
  EXPECT_EQ(of("ollama"), rule.source);
}

TEST(Preflight, VersionsCompareNumberByNumber) {
  const auto older = [](std::string have, std::string_view wanted) {
    return version(target("vllm"), std::move(have)).older_than(wanted);
  };
  EXPECT_TRUE(older("0.9.0", "0.9.1"));
  EXPECT_TRUE(older("v0.9.2", "0.10.0"));
  EXPECT_TRUE(older("0.9", "0.9.1"));
  EXPECT_FALSE(older("0.32.0", "0.9.1"));
  EXPECT_FALSE(older("0.9.1.post1", "0.9.1"));
  EXPECT_FALSE(older("", "0.9.1"));  // the newest
}

TEST(Preflight, VersionsBeginWithNumbers) {
  for (const char* version : {"0.9.1", "v0.32.0", "0.11.0rc2", "1.3.0rc27", "0.9.1.post1", "3.3.7",
                              "0.5.6.post2", "0.12.0.dev3+g1a2b3c", "2026-08", "1"}) {
    EXPECT_TRUE(is_engine_version(version)) << version;
  }
  for (const char* version :
       {"abc", "", "v", "1.x", "latest", "0.9.", ".9", "0..9", "-1", "0.9 1", "0.9.1\n", "9abc"}) {
    EXPECT_FALSE(is_engine_version(version)) << version;
  }
}

TEST(Preflight, EnginesAreFoundByTheNamesOfLanesToo) {
  EXPECT_EQ((*find_engine("TensorRT-LLM"))->name, "tensorrt-llm");
  EXPECT_EQ((*find_engine("vLLM"))->engine, Engine::kVllm);
  for (const char* name : {"lmstudio", "lm-studio", "LM Studio"}) {
    EXPECT_EQ((*find_engine(name))->engine, Engine::kLmStudio) << name;
  }
  // What `quantlane deploy --for` is told: all of it, and no engine besides.
  std::set<Engine> asked;
  for (const char* name :
       {"ollama", "lmstudio", "localai", "llama-server", "vllm", "sglang", "tgi", "tensorrt-llm"}) {
    asked.insert((*find_engine(name))->engine);
  }
  EXPECT_EQ(asked.size(), engines().size());
  const auto unknown = find_engine("vlm");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().expected, testing::HasSubstr("llama.cpp"));
}

}  // namespace
}  // namespace quantlane
