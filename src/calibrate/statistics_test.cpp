#include "calibrate/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/file.h"
#include "core/rng.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using fixtures::ScratchFolder;

std::vector<float> rows(std::int64_t count, std::int64_t cols, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(static_cast<std::size_t>(count * cols));
  for (float& value : x) value = static_cast<float>(rng.normal());
  return x;
}

struct Naive {
  std::vector<double> sum;
  std::vector<float> absmax;
};
Naive naive(const std::vector<float>& x, std::size_t cols) {
  Naive result{std::vector<double>(cols), std::vector<float>(cols)};
  for (std::size_t i = 0; i < x.size(); ++i) {
    result.sum[i % cols] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    result.absmax[i % cols] = std::max(result.absmax[i % cols], std::abs(x[i]));
  }
  return result;
}

void expect_matches(const InputStatistics& got, const std::vector<float>& x, std::size_t cols) {
  const Naive want = naive(x, cols);
  ASSERT_EQ(got.sum_squares.size(), cols);
  EXPECT_EQ(got.tokens, static_cast<std::int64_t>(x.size() / cols));
  EXPECT_EQ(got.absmax, want.absmax);
  for (std::size_t c = 0; c < cols; ++c)
    EXPECT_NEAR(got.sum_squares[c], want.sum[c], 1e-5 * want.sum[c]) << c;
}

TEST(Statistics, CountsMagnitudesOfEverySeventeenthRow) {
  const std::vector<float> x(static_cast<std::size_t>(100 * 3), -1.3F);
  Statistics statistics;
  statistics.add("m", x.data(), 40, 3);
  statistics.add("m", x.data(), 60, 3);
  const auto& counts = statistics.modules().at("m").magnitudes;
  ASSERT_EQ(counts.size(), static_cast<std::size_t>(kMagnitudeBins));
  EXPECT_EQ(counts[static_cast<std::size_t>(magnitude_bin(1.3F))], 6 * 3);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), 6 * 3);
  for (const float value : {1e-5F, 0.3F, 1.0F, 1.3F, 447.0F, -6e4F}) {
    const double middle = bin_magnitude(magnitude_bin(value));
    EXPECT_NEAR(middle / static_cast<double>(std::abs(value)), 1, 0.017) << value;
  }
  EXPECT_EQ(magnitude_bin(0.0F), 0);
  EXPECT_EQ(magnitude_bin(std::numeric_limits<float>::infinity()), kMagnitudeBins - 1);
}

TEST(Statistics, AddsLikeBruteForce) {
  const auto first = rows(37, 19, 1);
  const auto second = rows(64, 19, 2);
  Statistics statistics;
  statistics.add("m", first.data(), 37, 19);
  statistics.add("m", second.data(), 64, 19);
  auto all = first;
  all.insert(all.end(), second.begin(), second.end());
  expect_matches(statistics.modules().at("m"), all, 19);
  const auto mean = statistics.importance("m", 19);
  const Naive want = naive(all, 19);
  ASSERT_EQ(mean.size(), 19U);
  for (std::size_t c = 0; c < 19; ++c)
    EXPECT_NEAR(static_cast<double>(mean[c]), want.sum[c] / 101, 1e-5 * want.sum[c]);
  EXPECT_TRUE(statistics.importance("m", 18).empty());
  EXPECT_TRUE(statistics.importance("other", 19).empty());
}

TEST(Statistics, ColumnsNeverSeenKeepALittleImportance) {
  Statistics statistics;
  statistics.set("m", {.sum_squares = {0, 8, 4}, .absmax = {}, .tokens = 4});
  const auto mean = statistics.importance("m", 3);
  EXPECT_EQ(mean, (std::vector<float>{kLeastImportance * 1.0F, 2, 1}));
  statistics.set("m", {.sum_squares = {0, 0}, .absmax = {}, .tokens = 4});
  EXPECT_EQ(statistics.importance("m", 2), (std::vector<float>{0, 0}));
}

TEST(Statistics, MergesByAddition) {
  const auto first = rows(10, 8, 3);
  const auto second = rows(20, 8, 4);
  Statistics a;
  Statistics b;
  a.add("both", first.data(), 10, 8);
  b.add("both", second.data(), 20, 8);
  b.add("new", second.data(), 40, 4);
  ASSERT_TRUE(a.merge(b).has_value());
  auto all = first;
  all.insert(all.end(), second.begin(), second.end());
  expect_matches(a.modules().at("both"), all, 8);
  expect_matches(a.modules().at("new"), second, 4);
}

TEST(Statistics, RefusesToMergeOtherWidths) {
  const auto x = rows(4, 8, 5);
  Statistics a;
  Statistics b;
  a.add("m", x.data(), 4, 8);
  b.add("m", x.data(), 8, 4);
  const auto merged = a.merge(b);
  ASSERT_FALSE(merged.has_value());
  EXPECT_EQ(merged.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(merged.error().tensor, "m");
}

TEST(Statistics, SavesAndLoads) {
  const ScratchFolder scratch;
  const auto x = rows(24, 12, 6);
  Statistics statistics;
  statistics.add("model.layers.0.mlp.up_proj", x.data(), 24, 12);
  statistics.add("lm_head", x.data(), 12, 24);
  const fs::path path = scratch.path() / "s.safetensors";
  ASSERT_TRUE(statistics.save(path).has_value());
  const auto loaded = Statistics::load(path);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  ASSERT_EQ(loaded->modules().size(), 2U);
  for (const auto& [module, want] : statistics.modules()) {
    const InputStatistics& got = loaded->modules().at(module);
    EXPECT_EQ(got.sum_squares, want.sum_squares);
    EXPECT_EQ(got.absmax, want.absmax);
    EXPECT_EQ(got.tokens, want.tokens);
  }
}

TEST(Statistics, EveryFlippedByteOfTheNumbersIsNoticed) {
  const ScratchFolder scratch;
  const auto x = rows(24, 12, 6);
  Statistics statistics;
  statistics.add("model.layers.0.mlp.up_proj", x.data(), 24, 12);
  statistics.come_from({.model = "m", .texts = {"a", "b"}, .chunk_size = 512, .experts = 0});
  const fs::path path = scratch.path() / "s.safetensors";
  ASSERT_TRUE(statistics.save(path).has_value());
  ASSERT_TRUE(Statistics::load(path).has_value());
  const std::string whole = read_text(path).value();
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), sizeof header);
  for (std::size_t at = sizeof header + header; at < whole.size(); at += 61) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    ASSERT_TRUE(write_text(path, damaged).has_value());
    EXPECT_FALSE(Statistics::load(path).has_value()) << "byte " << at;
  }
  // Written by an older version.
  std::string older = whole;
  older.replace(older.find("quantlane.checksum"), 18, "quantlane.chicksum");
  older.back() = static_cast<char>(older.back() ^ 1);
  ASSERT_TRUE(write_text(path, older).has_value());
  EXPECT_TRUE(Statistics::load(path).has_value());
}

TEST(Statistics, RefusesDamagedFiles) {
  const ScratchFolder scratch;
  const fs::path path = scratch.path() / "s.safetensors";
  const auto write = [&](std::vector<double> sums, std::vector<float> maxima,
                         std::vector<std::int64_t> count) {
    const auto width = [](const auto& v) {
      return std::vector<std::int64_t>{static_cast<std::int64_t>(v.size())};
    };
    const auto writer = create_safetensors(
        path,
        {{.name = "m.in_sum2", .type = {.plain = DType::kF64}, .shape = width(sums)},
         {.name = "m.in_absmax", .type = {.plain = DType::kF32}, .shape = width(maxima)},
         {.name = "m.count", .type = {.plain = DType::kI64}, .shape = width(count)}},
        {});
    ASSERT_TRUE(writer.has_value());
    ASSERT_TRUE((*writer)->write(0, std::as_bytes(std::span(sums))).has_value());
    ASSERT_TRUE((*writer)->write(1, std::as_bytes(std::span(maxima))).has_value());
    ASSERT_TRUE((*writer)->write(2, std::as_bytes(std::span(count))).has_value());
    ASSERT_TRUE((*writer)->commit().has_value());
  };
  const auto refused = [&] {
    const auto loaded = Statistics::load(path);
    EXPECT_FALSE(loaded.has_value());
    return !loaded && loaded.error().message().find("m") != std::string::npos;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  write({1, 2}, {1, 1}, {5});
  EXPECT_TRUE(Statistics::load(path).has_value());
  write({1, nan}, {1, 1}, {5});
  EXPECT_TRUE(refused());
  write({1, -1}, {1, 1}, {5});
  EXPECT_TRUE(refused());
  write({1, 2}, {1, 1, 1}, {5});
  EXPECT_TRUE(refused());
  write({1, 2}, {1, 1}, {0});
  EXPECT_TRUE(refused());
  write({1, 2}, {1, 1}, {5, 5});
  EXPECT_TRUE(refused());
  write({1, 2}, {1, std::numeric_limits<float>::infinity()}, {5});
  EXPECT_TRUE(refused());
  ASSERT_TRUE(write_text(path, "not statistics").has_value());
  EXPECT_FALSE(Statistics::load(path).has_value());
  EXPECT_FALSE(Statistics::load(scratch.path() / "absent").has_value());
}

}  // namespace
}  // namespace quantlane
