// Inputs that are rounded with zero points.
#include <gmock/gmock.h>

#include "containers/dialects/compressed_tensors.h"
#include "containers/dialects/dialect_test_files.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

using testing::HasSubstr;

Result<LinearScheme> scheme_with(const std::string& inputs) {
  static const test::NoTensors kEmpty;
  const Json config = Json::parse(R"({"quant_method": "compressed-tensors", "config_groups": {"g":
      {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"},
       "input_activations": )" + inputs +
                                      "}}}",
                                  "config.json")
                          .value();
  const auto map = kCompressedTensors.read_map({.config = config,
                                                .container = kEmpty,
                                                .origin = "config.json",
                                                .model_dtype = DType::kBF16});
  if (!map) return std::unexpected(map.error());
  return (*map)->scheme_of("m").value();
}

TEST(InputsWithZeroPoints, AreInt8PerTokenOrStatic) {
  const auto token = scheme_with(
      R"({"num_bits": 8, "type": "int", "strategy": "token", "dynamic": true, "symmetric": false})");
  ASSERT_TRUE(token.has_value()) << token.error().message();
  EXPECT_EQ(token->input->spelling(), "int8_token_asym");
  EXPECT_FALSE(token->input->calibrated());
  const auto fixed = scheme_with(
      R"({"num_bits": 8, "type": "int", "strategy": "tensor", "dynamic": false,
          "symmetric": false})");
  ASSERT_TRUE(fixed.has_value()) << fixed.error().message();
  EXPECT_EQ(fixed->input->spelling(), "int8_tensor_asym");
  for (const char* refused :
       {R"({"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true,
            "symmetric": false})",
        R"({"num_bits": 8, "strategy": "tensor", "dynamic": true, "symmetric": false})",
        R"({"num_bits": 4, "strategy": "token", "dynamic": true, "symmetric": false})"}) {
    const auto read = scheme_with(refused);
    ASSERT_FALSE(read.has_value()) << refused;
    EXPECT_THAT(read.error().message(), HasSubstr("input_activations")) << refused;
  }
}

TEST(InputsWithZeroPoints, HaveAScaleAndAZeroPointThatAreChecked) {
  const fixtures::ScratchFolder scratch;
  const LinearScheme scheme{.weight = Scheme::parse("int8_channel_sym").value(),
                            .input = ActivationScheme::parse("int8_tensor_asym").value()};
  const std::vector<test::StoredTensor> tensors = {
      {"m.weight_packed", DType::kI32, {2, 1}, std::string(8, '\x83')},
      {"m.weight_scale", DType::kF32, {2, 1}, test::repeated(test::raw(0.5F), 2)},
      {"m.input_scale", DType::kF32, {1}, test::raw(0.25F)},
      {"m.input_zero_point", DType::kI8, {1}, std::string(1, '\xdb')}};
  test::expect_every_tensor_checked(kCompressedTensors, scheme, tensors, 2, 4, scratch.path());
  const auto container = test::container_of(tensors, scratch.path() / "m.safetensors");
  const auto linear = kCompressedTensors.unpack(*container, "m", scheme, 2, 4);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  EXPECT_EQ(linear->input->static_scale, 0.25F);
  EXPECT_EQ(linear->input->static_zero, -37);
}

}  // namespace
}  // namespace quantlane
