// What contradicts itself, has no effect or would be read otherwise than PEFT reads it is refused
// with its key or said.
#include <chrono>
#include <cmath>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json.h"
#include "model/adapters/adapter_fixtures.h"
#include "model/adapters/peft_config.h"

namespace quantlane {
namespace {

using fixtures::AdapterCopy;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json list(std::initializer_list<Json> items) { return Json(Json::Array(items)); }

// The error of `variant` with `key` set to `value`.
Error error_with(const std::string& variant, const std::string& key, const Json& value) {
  const AdapterCopy copy(variant);
  copy.configure([&](Json& config) { config.set(key, value); });
  return copy.error();
}
std::vector<std::string> notices_with(const std::string& variant, const std::string& key,
                                      const Json& value) {
  const AdapterCopy copy(variant);
  copy.configure([&](Json& config) { config.set(key, value); });
  const auto bound = copy.merged();
  EXPECT_TRUE(bound.has_value()) << key << ": " << bound.error().message();
  return bound ? bound->notices : std::vector<std::string>{};
}

TEST(PeftAdapters, AConfigurationThatIsNoObjectIsRefusedByAKeyThatItLacks) {
  for (const char* text : {"666665", "[]", "\"r\""}) {
    const auto config = PeftConfig::parse(Json::parse(text, "input").value(), "input");
    ASSERT_FALSE(config) << text;
    EXPECT_EQ(config.error().file, "input");
    EXPECT_EQ(config.error().tensor, "peft_type");
    EXPECT_THAT(config.error().hint, HasSubstr("PEFT"));
  }
}

TEST(PeftAdapters, SayNothingWhereThereIsNothingToSay) {
  for (const char* variant : {"plain", "patterns", "rslora", "dora", "embeddings"}) {
    EXPECT_THAT(notices_with(variant, "inference_mode", Json(true)), IsEmpty()) << variant;
  }
}

TEST(PeftAdapters, RefuseKeysOfAWrongTypeInsteadOfTakingTheDefault) {
  const std::map<std::string, Json> values = {{"use_rslora", "yes"},
                                              {"use_dora", 1},
                                              {"fan_in_fan_out", "false"},
                                              {"lora_bias", "true"},
                                              {"use_qalora", "no"},
                                              {"bias", true},
                                              {"r", 2.5},
                                              {"lora_alpha", "4"},
                                              {"lora_dropout", "0"},
                                              {"target_modules", 3},
                                              {"exclude_modules", true},
                                              {"modules_to_save", "lm_head"},
                                              {"layers_to_transform", "0"},
                                              {"layers_pattern", 1},
                                              {"rank_pattern", list({"q_proj"})},
                                              {"alpha_pattern", "q_proj"},
                                              {"init_lora_weights", 3},
                                              {"target_parameters", "experts.gate_up_proj"},
                                              {"base_model_name_or_path", 7},
                                              {"peft_type", Json()},
                                              {"task_type", false}};
  for (const auto& [key, value] : values) {
    const Error error = error_with("plain", key, value);
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << key;
    EXPECT_EQ(error.tensor, key);
    EXPECT_THAT(error.file, HasSubstr("adapter_config.json"));
    EXPECT_EQ(error.found, value.dump());
    EXPECT_THAT(error.hint, HasSubstr("PEFT"));
  }
}

TEST(PeftAdapters, SayWhichKeysAreNotKnown) {
  EXPECT_THAT(notices_with("plain", "lora_gamma", Json(3)), Contains(HasSubstr("lora_gamma")));
}

TEST(PeftAdapters, RefuseMethodsThatChangeMoreThanTheProduct) {
  const Json some = Json::object({{"beta", 0.1}});
  const std::map<std::string, Json> values = {{"init_lora_weights", "lora_ga"},
                                              {"init_lora_weights ", "x"},
                                              {"use_qalora", true},
                                              {"kasa_config", some},
                                              {"use_bdlora", some},
                                              {"monteclora_config", some},
                                              {"velora_config", some},
                                              {"arrow_config", some}};
  for (const auto& [key, value] : values) {
    if (key.ends_with(' ')) continue;
    const Error error = error_with("plain", key, value);
    EXPECT_EQ(error.code, ErrorCode::kUnsupported) << key;
    EXPECT_EQ(error.tensor, key);
  }
  EXPECT_EQ(error_with("plain", "init_lora_weights", "PiSSA").code, ErrorCode::kUnsupported);
  EXPECT_EQ(error_with("plain", "init_lora_weights", "of tomorrow").code, ErrorCode::kUnsupported);
  EXPECT_THAT(notices_with("plain", "init_lora_weights", "Gaussian"), IsEmpty());
}

TEST(PeftAdapters, RefuseScalesThatMergeNothing) {
  for (const double alpha : {0.0, 1e-300, 1e300}) {
    const Error error = error_with("plain", "lora_alpha", alpha);
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << alpha;
    EXPECT_EQ(error.tensor, "lora_alpha");
  }
  const Error own = error_with("plain", "alpha_pattern", Json::object({{"k_proj", 0}}));
  EXPECT_EQ(own.code, ErrorCode::kCorrupt);
  EXPECT_EQ(own.tensor, "alpha_pattern.k_proj");
  EXPECT_EQ(error_with("plain", "r", 0).tensor, "r");
  EXPECT_EQ(error_with("plain", "r", -2).code, ErrorCode::kCorrupt);
  const AdapterCopy copy("plain");
  ASSERT_TRUE(write_text(copy.scratch.path() / "adapter_config.json",
                         R"({"peft_type": "LORA", "r": 2, "lora_alpha": NaN})")
                  .has_value());
  EXPECT_THAT(copy.error().file, HasSubstr("adapter_config.json"));
}

TEST(PeftAdapters, SayThatANegativeAlphaSubtracts) {
  EXPECT_THAT(notices_with("plain", "lora_alpha", -4), Contains(HasSubstr("lora_alpha")));
}

TEST(PeftAdapters, SayWhichTargetsReachNothing) {
  const auto notices =
      notices_with("plain", "target_modules", list({"k_proj", "q_proj", "gate_proj", "c_attn"}));
  EXPECT_THAT(notices, Contains(HasSubstr("\"c_attn\"")));
  EXPECT_THAT(notices, Not(Contains(HasSubstr("\"q_proj\""))));
}

TEST(PeftAdapters, RefuseTensorsOfModulesThatAreNoTargets) {
  const Error none = error_with("plain", "target_modules", Json::array());
  EXPECT_EQ(none.code, ErrorCode::kCorrupt);
  EXPECT_EQ(none.tensor, "target_modules");
  const Error fewer = error_with("plain", "target_modules", list({"k_proj", "q_proj"}));
  EXPECT_EQ(fewer.code, ErrorCode::kCorrupt);
  EXPECT_THAT(fewer.tensor, HasSubstr("layers.0.mlp.gate_proj.lora_A"));
  EXPECT_THAT(fewer.expected, HasSubstr("target_modules"));
  const Error excluded = error_with("plain", "exclude_modules", list({"k_proj"}));
  EXPECT_EQ(excluded.code, ErrorCode::kCorrupt);
  EXPECT_THAT(notices_with("plain", "target_modules", Json()),
              Contains(HasSubstr("target_modules")));
}

TEST(PeftAdapters, SayWhichPatternsReachNothing) {
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    const auto notices = notices_with("plain", key, Json::object({{"qq_proj", 7}, {"o_proj", 3}}));
    EXPECT_THAT(notices, Contains(AllOf(HasSubstr(key), HasSubstr("\"qq_proj\""))));
    EXPECT_THAT(notices, Contains(HasSubstr("\"o_proj\"")));
  }
  // The first pattern that matches decides.
  EXPECT_THAT(
      notices_with("plain", "alpha_pattern", Json::object({{".*q_proj", 7}, {"q_proj", 3}})),
      Contains(HasSubstr("\"q_proj\"")));
}

TEST(PeftAdapters, TakeLayersAsPeftDoes) {
  EXPECT_EQ(error_with("plain", "layers_to_transform", list({"0"})).tensor, "layers_to_transform");
  EXPECT_EQ(error_with("plain", "layers_to_transform", -1).code, ErrorCode::kCorrupt);
  // A pattern of names leaves no room for layers.
  EXPECT_EQ(error_with("rslora", "layers_to_transform", 1).tensor, "layers_to_transform");
  EXPECT_EQ(error_with("dora", "layers_pattern", "blocks").tensor, "layers_pattern");
  EXPECT_THAT(notices_with("dora", "layers_pattern", "layers"), IsEmpty());
  EXPECT_THAT(notices_with("dora", "layers_to_transform", list({0, 77})),
              Contains(HasSubstr("77")));
  // Whole names stand for themselves in any layer.
  const AdapterCopy whole("rslora");
  whole.configure([](Json& config) {
    config.set("target_modules",
               list({"model.layers.1.mlp.up_proj", "model.layers.1.self_attn.o_proj"}));
    config.set("layers_to_transform", 0);
  });
  EXPECT_TRUE(whole.merged().has_value());
}

TEST(PeftAdapters, RefuseExpensivePatternsByName) {
  const std::string pattern = "([a-z_.0-9]+)+[!?]";
  const auto start = std::chrono::steady_clock::now();
  for (const auto& [key, value] :
       std::map<std::string, Json>{{"target_modules", pattern},
                                   {"exclude_modules", pattern},
                                   {"rank_pattern", Json::object({{pattern, 2}})},
                                   {"alpha_pattern", Json::object({{pattern, 2}})}}) {
    const Error error = error_with("plain", key, value);
    EXPECT_EQ(error.code, ErrorCode::kResourceLimit) << key;
    EXPECT_THAT(error.tensor, HasSubstr(key));
    EXPECT_THAT(error.found, HasSubstr(pattern));
    EXPECT_THAT(error.file, HasSubstr("adapter_config.json"));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(PeftAdapters, QuoteTheBeginningOfLongValuesOnly) {
  const Error error = error_with("plain", "target_modules", "(" + std::string(100'000, 'a'));
  EXPECT_EQ(error.tensor, "target_modules");
  EXPECT_LT(error.message().size(), 1000U);
}

TEST(PeftAdapters, RefusePatternsThatOnlyBalanceWhenWrapped) {
  EXPECT_EQ(error_with("plain", "target_modules", "x)|(?:.*").tensor, "target_modules");
}

// B A is [out, in] either way; only Conv1D stores the base's matrices transposed.
TEST(PeftAdapters, WithFanInFanOutMergeAsWithout) {
  const AdapterCopy copy("plain");
  copy.configure([](Json& config) { config.set("fan_in_fan_out", true); });
  const auto base = fixtures::open_base("llama");
  const auto bound = copy.merged();
  const auto plain = fixtures::merge_of(fixtures::adapter_data("plain"), base);
  ASSERT_TRUE(bound.has_value() && plain.has_value());
  EXPECT_THAT(bound->notices, Contains(HasSubstr("fan_in_fan_out")));
  for (std::size_t i = 0; i < plain->accounts.size(); ++i) {
    EXPECT_EQ(bound->accounts[i].change_norm, plain->accounts[i].change_norm);
  }
}

TEST(PeftAdapters, HaveTheBiasesThatTheirConfigurationSays) {
  const AdapterCopy none("biases");
  none.configure([](Json& config) { config.set("bias", "none"); });
  EXPECT_EQ(none.error("llama-bias").code, ErrorCode::kCorrupt);
  const AdapterCopy missing("biases");
  missing.rewrite([](std::string& name, auto&, auto&) {
    if (name.find("layers.1.self_attn.k_proj.bias") != std::string::npos) name.clear();
  });
  EXPECT_EQ(missing.error("llama-bias").tensor, "model.layers.1.self_attn.k_proj.bias");
  EXPECT_EQ(error_with("plain", "bias", "some").tensor, "bias");
}

TEST(PeftAdapters, RefuseWholeMatricesThatNothingSaves) {
  const AdapterCopy copy("embeddings");
  copy.configure([](Json& config) {
    config.set("target_modules", list({"embed_tokens", "layers.0.self_attn.o_proj"}));
  });
  copy.rewrite([](std::string& name, std::vector<std::int64_t>& shape, std::vector<float>& values) {
    if (name.find("layers.1.self_attn.o_proj.lora_B") != std::string::npos) name.clear();
    if (name.find("layers.1.self_attn.o_proj.lora_A") == std::string::npos) return;
    name = "base_model.model.model.layers.1.self_attn.o_proj.weight";
    shape = {48, 48};
    values.assign(std::size_t{48} * 48, 0.5F);
  });
  const Error error = copy.error();
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_THAT(error.tensor, HasSubstr("layers.1.self_attn.o_proj.weight"));
  EXPECT_THAT(error.expected, HasSubstr("modules_to_save"));
}

TEST(PeftAdapters, SayThatAnUntrainedAdapterChangesNothing) {
  const AdapterCopy copy("plain");
  copy.rewrite([](std::string& name, auto&, std::vector<float>& values) {
    if (name.find("lora_B") != std::string::npos) std::ranges::fill(values, 0.0F);
  });
  const auto bound = copy.merged();
  ASSERT_TRUE(bound.has_value());
  EXPECT_THAT(bound->notices, Contains(HasSubstr("6 of 6")));
}

TEST(PeftAdapters, ThatOverflowAreRefusedWithTheValue) {
  const AdapterCopy copy("plain");
  copy.rewrite([](std::string& name, auto&, std::vector<float>& values) {
    if (name.find("layers.1.mlp.gate_proj") != std::string::npos) {
      std::ranges::fill(values, 2e19F);
    }
  });
  const Error error = copy.error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.tensor, "model.layers.1.mlp.gate_proj.weight");
  EXPECT_THAT(error.found, HasSubstr("inf in row 0, column 0"));
  EXPECT_FALSE(error.hint.empty());
}

TEST(PeftAdapters, ThatTheStoredTypeDoesNotHoldAreRefusedWithTheValue) {
  const AdapterCopy copy("plain");
  copy.rewrite([](std::string& name, auto&, std::vector<float>& values) {
    if (name.find("layers.1.mlp.gate_proj") == std::string::npos) return;
    std::ranges::fill(values, 0.0F);
    values[0] = name.find("lora_A") != std::string::npos ? 1e19F : 1.699e19F;  // times 2
  });
  auto bound = copy.merged();
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  const auto base = fixtures::open_base("llama");
  ThreadPool pool(1);
  EXPECT_TRUE(measure_rounding(*bound, *base, DType::kF32, pool).has_value());
  for (const DType type : {DType::kBF16, DType::kF16}) {
    const auto stored = measure_rounding(*bound, *base, type, pool);
    ASSERT_FALSE(stored.has_value());
    EXPECT_EQ(stored.error().tensor, "model.layers.1.mlp.gate_proj.weight");
    EXPECT_THAT(stored.error().found, HasSubstr("3.398"));
    EXPECT_THAT(stored.error().found, HasSubstr("row 0, column 0"));
    EXPECT_THAT(stored.error().hint, HasSubstr("--to"));
  }
}

TEST(PeftAdapters, BesideWeightsOfAnotherFormatAreRefused) {
  const AdapterCopy copy("plain");
  fs::copy_file(copy.scratch.path() / "adapter_model.safetensors",
                copy.scratch.path() / "adapters.safetensors");
  const Error error = copy.error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.found, "peft and mlx");
}

}  // namespace
}  // namespace quantlane
