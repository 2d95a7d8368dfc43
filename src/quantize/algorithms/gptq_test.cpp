#include "quantize/algorithms/gptq.h"

#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "calibrate/error_feedback.h"
#include "core/rng.h"

namespace quantlane {
namespace {

constexpr std::int64_t kRows = 8;
constexpr std::int64_t kCols = 256;
constexpr std::int64_t kTokens = 512;

// Inputs in which neighbours agree, as activations do, and weights.
class Gptq : public ::testing::TestWithParam<const char*> {
 protected:
  Gptq() : weights_(kRows * kCols), x_(kTokens * kCols) {
    Rng rng(7);
    for (float& w : weights_) w = static_cast<float>(rng.normal());
    for (std::int64_t t = 0; t < kTokens; ++t) {
      double state = 0;
      for (std::int64_t c = 0; c < kCols; ++c) {
        state = 0.9 * state + 0.5 * rng.normal();
        x_[t * kCols + c] = static_cast<float>(state);
      }
    }
    Hessian hessian{.cols = kCols, .tokens = kTokens, .sums = {}};
    hessian.sums.assign(kCols * kCols, 0.0F);
    for (std::int64_t t = 0; t < kTokens; ++t) {
      for (std::int64_t i = 0; i < kCols; ++i) {
        for (std::int64_t k = 0; k < kCols; ++k)
          hessian.sums[i * kCols + k] += x_[t * kCols + i] * x_[t * kCols + k];
      }
    }
    feedback_ = make_error_feedback(hessian).value();
    for (std::int64_t i = 0; i < kCols; ++i)
      importance_.push_back(hessian.sums[i * kCols + i] / kTokens);
  }
  [[nodiscard]] LinearInputs inputs(bool feedback) const {
    return {.importance = importance_, .feedback = feedback ? &feedback_ : nullptr};
  }
  // Sum of squares of what the outputs change by.
  [[nodiscard]] double output_error(const std::vector<float>& decoded) const {
    double error = 0;
    for (std::int64_t t = 0; t < kTokens; ++t) {
      for (std::int64_t r = 0; r < kRows; ++r) {
        double change = 0;
        for (std::int64_t c = 0; c < kCols; ++c) {
          const auto at = static_cast<std::size_t>(r * kCols + c);
          change += static_cast<double>(x_[t * kCols + c]) *
                    static_cast<double>(decoded[at] - weights_[at]);
        }
        error += change * change;
      }
    }
    return error;
  }
  [[nodiscard]] std::vector<float> through(const BlockFormat& format, bool feedback) const {
    std::vector<std::byte> blocks(static_cast<std::size_t>(kRows * format.row_bytes(kCols)));
    kGptqRounding.encode(format, weights_.data(), kRows, kCols, inputs(feedback), blocks.data());
    std::vector<float> values(weights_.size());
    format.decode(blocks.data(), kRows * kCols / format.block_values, values.data());
    return values;
  }
  [[nodiscard]] std::vector<float> through(const Scheme& scheme, bool feedback) const {
    const auto tensor =
        kGptqRounding.quantize(scheme, weights_.data(), kRows, kCols, inputs(feedback));
    EXPECT_TRUE(tensor.has_value());
    std::vector<float> values(weights_.size());
    tensor->decode_rows(0, kRows, values.data());
    return values;
  }

  std::vector<float> weights_;
  std::vector<float> x_;
  ErrorFeedback feedback_;
  std::vector<float> importance_;
};

class GptqScheme : public Gptq {};
class GptqBlocks : public Gptq {};

TEST_P(GptqScheme, ChangesTheOutputsLessThanSearchedScalesAlone) {
  const Scheme scheme = Scheme::parse(GetParam()).value();
  EXPECT_LT(output_error(through(scheme, true)), 0.6 * output_error(through(scheme, false)));
}
INSTANTIATE_TEST_SUITE_P(All, GptqScheme,
                         ::testing::Values("int4_g128_sym", "int4_g32_asym", "int8_channel_sym",
                                           "int3_g64_sym", "fp8_e4m3_channel"));

TEST_P(GptqBlocks, ChangesTheOutputsLessThanSearchedScalesAlone) {
  const BlockFormat& format = *block_format_by_name(GetParam());
  EXPECT_LT(output_error(through(format, true)), 0.8 * output_error(through(format, false)));
}
INSTANTIATE_TEST_SUITE_P(All, GptqBlocks,
                         ::testing::Values("q4_0", "q4_1", "q5_0", "q8_0", "iq4_nl"));

// Rows do not see each other, so slices of any height give the same bytes.
TEST_F(Gptq, RowsAreIndependent) {
  const BlockFormat& format = *block_format_by_name("q4_0");
  const auto bytes = static_cast<std::size_t>(format.row_bytes(kCols));
  std::vector<std::byte> whole(bytes * kRows);
  std::vector<std::byte> single(bytes * kRows);
  kGptqRounding.encode(format, weights_.data(), kRows, kCols, inputs(true), whole.data());
  for (std::int64_t r = 0; r < kRows; ++r) {
    kGptqRounding.encode(format, weights_.data() + r * kCols, 1, kCols, inputs(true),
                         single.data() + static_cast<std::size_t>(r) * bytes);
  }
  EXPECT_EQ(whole, single);
}

// With independent inputs there is nothing to make up for: codes are those of the search alone.
TEST_F(Gptq, IndependentColumnsGetNoFeedback) {
  Hessian hessian{.cols = kCols, .tokens = 1, .sums = {}};
  hessian.sums.assign(kCols * kCols, 0.0F);
  for (std::int64_t i = 0; i < kCols; ++i) hessian.sums[i * kCols + i] = importance_[i];
  feedback_ = make_error_feedback(hessian).value();
  const Scheme scheme = Scheme::parse("int4_g128_sym").value();
  EXPECT_EQ(through(scheme, true), through(scheme, false));
}

}  // namespace
}  // namespace quantlane
