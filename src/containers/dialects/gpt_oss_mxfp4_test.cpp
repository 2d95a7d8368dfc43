#include "containers/dialects/gpt_oss_mxfp4.h"

#include <gmock/gmock.h>

#include "containers/dialects/dialect_test_files.h"

namespace quantlane {
namespace {

const std::string kExperts = "model.layers.0.mlp.experts.";

// Two experts, 32 hidden, 2 inner (padded to a group for down): gate rows hold 0.5, up rows 1.
class GptOssMxfp4 : public test::FolderTest {
 protected:
  std::string gate_up_ = [] {
    std::string rows;
    for (int expert = 0; expert < 2; ++expert) {
      for (int row = 0; row < 4; ++row) rows += std::string(16, row % 2 == 0 ? '\x11' : '\x22');
    }
    return rows;
  }();
  std::vector<test::StoredTensor> tensors_ = {
      {kExperts + "gate_up_proj_blocks", DType::kU8, {2, 4, 1, 16}, gate_up_},
      // 1 for the first expert, 2^1 for the second.
      {kExperts + "gate_up_proj_scales",
       DType::kU8,
       {2, 4, 1},
       std::string(4, '\x7F') + std::string(4, '\x80')},
      {kExperts + "down_proj_blocks", DType::kU8, {2, 32, 1, 16}, std::string(1024, '\x21')},
      {kExperts + "down_proj_scales", DType::kU8, {2, 32, 1}, std::string(64, '\x7F')}};

  static std::unique_ptr<QuantizationMap> map(const Container& container, const Json& config) {
    EXPECT_TRUE(kGptOssMxfp4.recognises(config));
    auto read = kGptOssMxfp4.read_map({.config = config,
                                       .container = container,
                                       .origin = "config.json",
                                       .model_dtype = DType::kBF16});
    EXPECT_TRUE(read.has_value());
    return std::move(*read);
  }
  const Json config_ = Json::parse(R"({"quant_method": "mxfp4", "modules_to_not_convert":
                                       ["self_attn", "lm_head"]})",
                                   "test")
                           .value();
};

TEST_F(GptOssMxfp4, ATensorNamesTheLinearsThatItHolds) {
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  const auto schemes = map(*container, config_);
  std::vector<std::string> found;
  for (const TensorInfo& tensor : container->tensors()) {
    const auto linears = packed_linears(&kGptOssMxfp4, tensor);
    ASSERT_TRUE(linears.has_value()) << tensor.name;
    for (const PackedLinear& linear : *linears) {
      found.push_back(linear.module.substr(kExperts.size()));
      // What is listed can be read, with just that shape.
      const auto scheme = schemes->scheme_of(linear.module);
      ASSERT_TRUE(scheme.has_value()) << linear.module;
      EXPECT_TRUE(kGptOssMxfp4.verify(*container, linear.module, *scheme, linear.rows, linear.cols))
          << linear.module;
    }
    EXPECT_FALSE(packed_linears(nullptr, tensor).has_value());
  }
  EXPECT_THAT(found, testing::UnorderedElementsAre("0.gate_proj", "0.up_proj", "0.down_proj",
                                                   "1.gate_proj", "1.up_proj", "1.down_proj"));
  const auto linears_of = [](std::string name, std::vector<std::int64_t> shape) {
    return packed_linears(&kGptOssMxfp4,
                          {.name = std::move(name), .type = DType::kU8, .shape = std::move(shape)});
  };
  EXPECT_FALSE(linears_of("model.layers.0.self_attn.q_proj.weight", {8, 8}).has_value());
  EXPECT_FALSE(linears_of(kExperts + "gate_up_proj_bias", {2, 4}).has_value());
  EXPECT_FALSE(linears_of(kExperts + "down_proj_blocks", {std::int64_t{1} << 60, 0, 0, 16}));
}

TEST_F(GptOssMxfp4, GateAndUpRowsAlternateAndExpertsFollow) {
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  const auto schemes = map(*container, config_);
  const auto value = [&](const std::string& linear, std::int64_t rows) {
    const auto scheme = schemes->scheme_of(kExperts + linear);
    EXPECT_TRUE(scheme.has_value()) << linear;
    const auto read = kGptOssMxfp4.unpack(*container, kExperts + linear, *scheme, rows, 32);
    EXPECT_TRUE(read.has_value()) << read.error().message();
    std::vector<float> row(32);
    read->weight.decode_rows(rows - 1, 1, row.data());
    return std::vector<float>{row[0], row[1]};
  };
  EXPECT_THAT(value("0.gate_proj", 2), testing::ElementsAre(0.5F, 0.5F));
  EXPECT_THAT(value("0.up_proj", 2), testing::ElementsAre(1, 1));
  EXPECT_THAT(value("1.gate_proj", 2), testing::ElementsAre(1, 1));
  EXPECT_THAT(value("1.up_proj", 2), testing::ElementsAre(2, 2));
  EXPECT_THAT(value("1.down_proj", 32), testing::ElementsAre(0.5F, 1));
}

TEST_F(GptOssMxfp4, OnlyExpertsAreQuantized) {
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  const auto schemes = map(*container, config_);
  for (const char* module :
       {"model.layers.0.self_attn.q_proj", "lm_head", "model.layers.0.mlp.router",
        "model.layers.1.mlp.experts.0.up_proj", "model.layers.0.mlp.experts.x.up_proj",
        "model.layers.0.mlp.experts.0.w1"}) {
    EXPECT_FALSE(schemes->scheme_of(module).has_value()) << module;
  }
}

TEST_F(GptOssMxfp4, DamageIsNamed) {
  const LinearScheme scheme{.weight = Scheme::parse("mxfp4").value(), .input = std::nullopt};
  const auto error_of = [&](const std::vector<test::StoredTensor>& tensors,
                            const std::string& module) {
    const auto container = test::container_of(tensors, folder_ / "m.safetensors");
    const auto read = kGptOssMxfp4.unpack(*container, kExperts + module, scheme, 2, 32);
    EXPECT_FALSE(read.has_value());
    return read ? Error{} : read.error();
  };
  EXPECT_EQ(error_of(tensors_, "2.up_proj").tensor, kExperts + "gate_up_proj_blocks");
  auto damaged = tensors_;
  damaged[1].bytes[1] = '\xFF';
  EXPECT_EQ(error_of(damaged, "0.up_proj").tensor, kExperts + "gate_up_proj_scales");
  damaged = tensors_;
  damaged.erase(damaged.begin() + 1);
  EXPECT_EQ(error_of(damaged, "0.up_proj").tensor, kExperts + "gate_up_proj_scales");
}

TEST_F(GptOssMxfp4, KeysOfAnotherTypeAreRefused) {
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  test::expect_every_key_checked(kGptOssMxfp4, config_, *container);
}

}  // namespace
}  // namespace quantlane
