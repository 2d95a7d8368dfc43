#include "runtime/layer.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/block_format.h"
#include "formats/ggml_inputs.h"
#include "formats/group_format.h"
#include "formats/random_values_for_test.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kCols = 256;
constexpr std::int64_t kTokens = 3;

// A matrix [kRows, kCols] alone in a container of one of the two kinds.
class OneMatrix {
 public:
  OneMatrix(ElementType type, bool gguf) {
    const std::vector<float> values = normal_values(kRows * kCols, 1, 1);
    const std::vector<PlannedTensor> plan = {{.name = "w", .type = type, .shape = {kRows, kCols}}};
    std::vector<std::byte> bytes(plan[0].size_bytes());
    if (type.block != nullptr) {
      type.block->encode(values, {}, bytes.data());
    } else {
      encode_plain(type.plain, values.data(), kRows * kCols, bytes.data());
    }
    const fs::path path = folder_.path() / (gguf ? "w.gguf" : "w.safetensors");
    auto writer = gguf ? create_gguf(path, plan, {}) : create_safetensors(path, plan, {});
    EXPECT_TRUE(writer.has_value());
    EXPECT_TRUE((*writer)->write(0, bytes).has_value());
    EXPECT_TRUE((*writer)->commit().has_value());
    auto opened = open_container(path);
    EXPECT_TRUE(opened.has_value());
    container_ = std::move(*opened);
  }
  [[nodiscard]] Weight weight() const { return {container_.get(), container_->find("w")}; }

 private:
  fixtures::ScratchFolder folder_;
  std::unique_ptr<Container> container_;
};

// x times the decoded rows in double precision, x rounded before by `input` if that is given.
std::vector<double> expected_product(const Weight& weight, std::vector<float> x,
                                     const ActivationScheme* input) {
  if (input != nullptr) round_activations(*input, x.data(), kTokens, kCols);
  std::vector<float> w(static_cast<std::size_t>(kRows * kCols));
  weight.decode_rows(0, kRows, w.data());
  std::vector<double> y;
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t n = 0; n < kRows; ++n) {
      double sum = 0;
      for (std::size_t k = 0; k < kCols; ++k) {
        sum += static_cast<double>(x[t * kCols + k]) * static_cast<double>(w[n * kCols + k]);
      }
      y.push_back(sum);
    }
  }
  return y;
}

void expect_product(const Weight& weight, Arithmetic arithmetic, const ActivationScheme* input) {
  const Parameter parameter{
      .role = Role::kQuery, .layer = 0, .name = "w", .rows = kRows, .cols = kCols};
  BoundLinear linear;
  linear.parameter = &parameter;
  linear.bind(weight, arithmetic);
  ThreadPool pool(1);
  Pass pass;
  pass.pool = &pool;
  const std::vector<float> x = normal_values(kTokens * kCols, 1, 2);
  std::vector<float> y(static_cast<std::size_t>(kTokens * kRows));
  const Product product[] = {{&linear, y.data()}};
  multiply(product, x.data(), kTokens, pass);
  const std::vector<double> expected = expected_product(weight, x, input);
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(y[i]), expected[i], 1e-4) << weight.encoding();
  }
}

TEST(EngineArithmetic, RoundsTheInputsOfEveryBlockFormat) {
  for (const BlockFormat* format : block_formats()) {
    const OneMatrix matrix({.block = format}, true);
    EXPECT_EQ(matrix.weight().engine_rounding(), format->input) << format->name;
    expect_product(matrix.weight(), Arithmetic::kEngine, &format->input);
    expect_product(matrix.weight(), Arithmetic::kFloat, nullptr);
  }
}

TEST(EngineArithmetic, RoundsInputsToThePlainTypeOfTheWeights) {
  expect_product(OneMatrix({.plain = DType::kF16}, true).weight(), Arithmetic::kEngine, &kF16Input);
  expect_product(OneMatrix({.plain = DType::kBF16}, true).weight(), Arithmetic::kEngine,
                 &kBF16Input);
  const OneMatrix f32({.plain = DType::kF32}, true);
  EXPECT_FALSE(f32.weight().engine_rounding());
  expect_product(f32.weight(), Arithmetic::kEngine, nullptr);
}

TEST(EngineArithmetic, LeavesHuggingFaceFoldersAlone) {
  const OneMatrix matrix({.plain = DType::kBF16}, false);
  EXPECT_FALSE(matrix.weight().engine_rounding());
  expect_product(matrix.weight(), Arithmetic::kEngine, nullptr);
}

}  // namespace
}  // namespace quantlane
