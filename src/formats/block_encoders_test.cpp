#include "formats/block_encoders.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/cpu.h"
#include "core/rng.h"
#include "formats/block_format.h"

namespace quantlane {
namespace {

struct IsaRow {
  Isa isa;
  const BlockEncoders* encoders;
};
constexpr IsaRow kEncoderRows[] = {{Isa::kAvx2, &kBlockEncodersAvx2},
                                   {Isa::kAvx512, &kBlockEncodersAvx512}};

constexpr EncodeBlocks BlockEncoders::* kFormats[] = {
    &BlockEncoders::q8_0,  &BlockEncoders::q4_0,    &BlockEncoders::q4_1,
    &BlockEncoders::q5_0,  &BlockEncoders::q5_1,    &BlockEncoders::q2_k,
    &BlockEncoders::q3_k,  &BlockEncoders::q4_k,    &BlockEncoders::q5_k,
    &BlockEncoders::q6_k,  &BlockEncoders::iq4_nl,  &BlockEncoders::iq4_xs,
    &BlockEncoders::mxfp4, &BlockEncoders::nvfp4,   &BlockEncoders::iq1_s,
    &BlockEncoders::iq1_m, &BlockEncoders::iq2_xxs, &BlockEncoders::iq2_xs,
    &BlockEncoders::iq2_s, &BlockEncoders::iq3_xxs, &BlockEncoders::iq3_s,
    &BlockEncoders::q1_0,  &BlockEncoders::q2_0,    &BlockEncoders::tq1_0,
    &BlockEncoders::tq2_0};

std::vector<float> values_of(std::size_t count, int kind, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    const double normal = rng.normal();
    value = static_cast<float>(kind == 0   ? 0.02 * normal
                               : kind == 1 ? normal * normal * normal
                               : kind == 2 ? std::exp(20 * normal)
                                           : std::round(normal));
  }
  return values;
}

TEST(BlockEncoders, EveryInstructionSetGivesTheSameBytes) {
  for (const IsaRow& row : kEncoderRows) {
    if (cpu_info().best < row.isa) {
      GTEST_LOG_(INFO) << "not on this processor: " << isa_name(row.isa);
      continue;
    }
    // 2304 values are 72 blocks of 32, 256 are 8: some vectors have lanes without a block.
    for (const auto& [kind, count] :
         {std::pair{0, 4096}, {1, 4096}, {2, 4096}, {3, 4096}, {0, 2304}, {1, 256}}) {
      const std::vector<float> values = values_of(4096, kind, 21);
      std::vector<float> importance = values_of(4096, 2, 22);
      for (const bool weighted : {false, true}) {
        const float* weights = weighted ? importance.data() : nullptr;
        for (const auto format : kFormats) {
          std::vector<unsigned char> expected(8192, 0xAA);
          std::vector<unsigned char> bytes(8192, 0xAA);
          (kBlockEncodersRef.*format)(values.data(), weights, count, expected.data());
          (row.encoders->*format)(values.data(), weights, count, bytes.data());
          EXPECT_EQ(bytes, expected) << isa_name(row.isa) << " kind " << kind << " of " << count;
        }
      }
    }
  }
}

// Writers refuse values that are not finite before they get here; should one slip through, its
// block may be anything, but nothing else is touched.
TEST(BlockEncoders, ValuesThatAreNotFiniteSpoilTheirBlockOnly) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const BlockFormat* format : block_formats()) {
    if (format->encode == nullptr) continue;
    SCOPED_TRACE(format->name);
    for (const float strange : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}) {
      std::vector<float> values = values_of(1024, 0, 25);
      const std::size_t bytes = static_cast<std::size_t>(format->row_bytes(1024));
      std::vector<std::byte> expected(bytes);
      std::vector<std::byte> blocks(bytes);
      format->encode(values, {}, expected.data());
      values[300] = strange;
      format->encode(values, {}, blocks.data());
      const int spoiled = 300 / format->block_values;
      for (std::size_t i = 0; i < bytes; ++i) {
        if (static_cast<int>(i) / format->block_bytes == spoiled) continue;
        ASSERT_EQ(blocks[i], expected[i]) << i;
      }
    }
  }
}

TEST(BlockEncoders, EveryInstructionSetSumsAlike) {
  for (const IsaRow& row : kEncoderRows) {
    if (cpu_info().best < row.isa) continue;
    for (const int count : {1, 15, 16, 17, 31, 128}) {
      const std::vector<float> x = values_of(static_cast<std::size_t>(count), 0, 23);
      const std::vector<float> w = values_of(static_cast<std::size_t>(count), 3, 24);
      Lanes scale;
      for (int l = 0; l < kLanes; ++l) scale.v[l] = 0.001F * static_cast<float>(l);
      Lanes expected;
      Lanes error;
      Lanes xq;
      Lanes qq;
      kBlockEncodersRef.symmetric_errors(x.data(), w.data(), count, scale, CodeRange{-8, 7},
                                         expected, xq, qq);
      row.encoders->symmetric_errors(x.data(), w.data(), count, scale, CodeRange{-8, 7}, error, xq,
                                     qq);
      for (int l = 0; l < kLanes; ++l) EXPECT_EQ(error.v[l], expected.v[l]);
      Lanes zero;
      for (int l = 0; l < kLanes; ++l) zero.v[l] = static_cast<float>(l);
      kBlockEncodersRef.zero_point_errors(x.data(), w.data(), count, scale, zero, 15, expected);
      row.encoders->zero_point_errors(x.data(), w.data(), count, scale, zero, 15, error);
      for (int l = 0; l < kLanes; ++l) EXPECT_EQ(error.v[l], expected.v[l]);
      for (const float high : {3.0F, 15.0F, 255.0F}) {
        const ZeroPointFit fit =
            kBlockEncodersRef.search_zero_point(x.data(), w.data(), count, high, 1);
        const ZeroPointFit other =
            row.encoders->search_zero_point(x.data(), w.data(), count, high, 1);
        EXPECT_EQ(other.scale, fit.scale);
        EXPECT_EQ(other.zero, fit.zero);
      }
      for (float& value : scale.v) value += 1e-5F;
      kBlockEncodersRef.e4m3_errors(x.data(), w.data(), count, scale, expected);
      row.encoders->e4m3_errors(x.data(), w.data(), count, scale, error);
      for (int l = 0; l < kLanes; ++l) EXPECT_EQ(error.v[l], expected.v[l]);
      kBlockEncodersRef.e2m1_errors(x.data(), w.data(), count, scale, expected);
      row.encoders->e2m1_errors(x.data(), w.data(), count, scale, error);
      for (int l = 0; l < kLanes; ++l) EXPECT_EQ(error.v[l], expected.v[l]);
    }
  }
}

}  // namespace
}  // namespace quantlane
