#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/random_values_for_test.h"
#include "kernels/attention/attention_table.h"

namespace quantlane::kernels {
namespace {

class AttentionRows : public testing::TestWithParam<AttentionRow> {
 protected:
  void SetUp() override {
    if (GetParam().isa > cpu_info().best) {
      GTEST_SKIP() << "this processor lacks " << isa_name(GetParam().isa);
    }
  }
};

struct Inputs {
  explicit Inputs(const AttentionShape& shape, double q_scale = 1)
      : q(normal_values(shape.tokens * shape.heads * shape.head_dim, q_scale, 1)),
        keys(normal_values((shape.start + shape.tokens) * shape.kv_heads * shape.head_dim, 1, 2)),
        values(
            normal_values((shape.start + shape.tokens) * shape.kv_heads * shape.head_dim, 1, 3)) {}
  std::vector<float> q;
  std::vector<float> keys;
  std::vector<float> values;
};

// The definition, one output at a time, over all keys with an explicit mask.
float expected_output(const AttentionShape& shape, const Inputs& in, std::int64_t token,
                      std::int64_t head, std::int64_t dim) {
  const std::int64_t position = shape.start + token;
  const std::int64_t kv = head / (shape.heads / shape.kv_heads);
  double numerator = 0;
  double denominator = 0;
  for (std::int64_t j = 0; j < shape.start + shape.tokens; ++j) {
    if (j > position || (shape.window > 0 && j <= position - shape.window)) continue;
    double s = 0;
    for (std::int64_t i = 0; i < shape.head_dim; ++i) {
      s += static_cast<double>(
               in.q[static_cast<std::size_t>((token * shape.heads + head) * shape.head_dim + i)]) *
           static_cast<double>(
               in.keys[static_cast<std::size_t>((j * shape.kv_heads + kv) * shape.head_dim + i)]);
    }
    s *= static_cast<double>(shape.scale);
    if (shape.softcap > 0) {
      s = static_cast<double>(shape.softcap) * std::tanh(s / static_cast<double>(shape.softcap));
    }
    const double p = std::exp(s);  // scores of these tests stay small
    denominator += p;
    numerator +=
        p *
        static_cast<double>(
            in.values[static_cast<std::size_t>((j * shape.kv_heads + kv) * shape.head_dim + dim)]);
  }
  return static_cast<float>(numerator / denominator);
}

const AttentionShape kShapes[] = {
    {.tokens = 1,
     .start = 0,
     .heads = 1,
     .kv_heads = 1,
     .head_dim = 1,
     .window = 0,
     .scale = 1,
     .softcap = 0},
    {.tokens = 5,
     .start = 0,
     .heads = 3,
     .kv_heads = 3,
     .head_dim = 7,
     .window = 0,
     .scale = 0.4F,
     .softcap = 0},
    {.tokens = 1,
     .start = 300,
     .heads = 9,
     .kv_heads = 3,
     .head_dim = 64,
     .window = 0,
     .scale = 0.125F,
     .softcap = 0},
    {.tokens = 33,
     .start = 17,
     .heads = 4,
     .kv_heads = 2,
     .head_dim = 24,
     .window = 0,
     .scale = 0.2F,
     .softcap = 0},
    {.tokens = 130,
     .start = 0,
     .heads = 2,
     .kv_heads = 1,
     .head_dim = 20,
     .window = 0,
     .scale = 0.2F,
     .softcap = 5},
    {.tokens = 140,
     .start = 95,
     .heads = 2,
     .kv_heads = 1,
     .head_dim = 12,
     .window = 50,
     .scale = 0.3F,
     .softcap = 0},
    {.tokens = 64,
     .start = 250,
     .heads = 2,
     .kv_heads = 2,
     .head_dim = 16,
     .window = 1,
     .scale = 0.3F,
     .softcap = 30},
    {.tokens = 3,
     .start = 120,
     .heads = 2,
     .kv_heads = 1,
     .head_dim = 300,
     .window = 0,
     .scale = 0.05F,
     .softcap = 0},
};

TEST_P(AttentionRows, MatchesTheDefinition) {
  ThreadPool pool(2);
  for (const AttentionShape& shape : kShapes) {
    const Inputs in(shape);
    std::vector<float> out(in.q.size(), NAN);
    GetParam().run(shape, in.q.data(), in.keys.data(), in.values.data(), out.data(), pool);
    for (std::int64_t t = 0; t < shape.tokens; ++t) {
      for (std::int64_t h = 0; h < shape.heads; ++h) {
        for (std::int64_t d = 0; d < shape.head_dim; ++d) {
          ASSERT_NEAR(out[static_cast<std::size_t>((t * shape.heads + h) * shape.head_dim + d)],
                      expected_output(shape, in, t, h, d), 3e-6F)
              << "tokens " << shape.tokens << " dim " << shape.head_dim << " at " << t << ", " << h
              << ", " << d;
        }
      }
    }
  }
}

// One query at a time, in passes of any length, with any number of threads: the same bits.
TEST_P(AttentionRows, BitsDoNotDependOnThePassOrTheThreads) {
  const AttentionShape whole = {.tokens = 150,
                                .start = 0,
                                .heads = 6,
                                .kv_heads = 2,
                                .head_dim = 32,
                                .window = 90,
                                .scale = 0.2F,
                                .softcap = 0};
  const Inputs in(whole);
  ThreadPool one(1);
  std::vector<float> all(in.q.size());
  GetParam().run(whole, in.q.data(), in.keys.data(), in.values.data(), all.data(), one);
  ThreadPool pool(3);
  const std::int64_t row = whole.heads * whole.head_dim;
  for (const std::int64_t step : {1, 7, 64}) {
    for (std::int64_t start = 0; start < whole.tokens; start += step) {
      AttentionShape part = whole;
      part.start = start;
      part.tokens = std::min(step, whole.tokens - start);
      std::vector<float> out(static_cast<std::size_t>(part.tokens * row));
      GetParam().run(part, in.q.data() + start * row, in.keys.data(), in.values.data(), out.data(),
                     pool);
      ASSERT_TRUE(std::equal(out.begin(), out.end(), all.begin() + start * row)) << start;
    }
  }
}

TEST_P(AttentionRows, LargeScoresDoNotOverflow) {
  const AttentionShape shape = {.tokens = 20,
                                .start = 130,
                                .heads = 1,
                                .kv_heads = 1,
                                .head_dim = 8,
                                .window = 0,
                                .scale = 1,
                                .softcap = 0};
  const Inputs in(shape, 1e4);
  ThreadPool pool(1);
  std::vector<float> out(in.q.size());
  GetParam().run(shape, in.q.data(), in.keys.data(), in.values.data(), out.data(), pool);
  for (const float value : out) {
    EXPECT_TRUE(std::isfinite(value));
    EXPECT_LE(std::abs(value), 6.0F);  // a mean of values
  }
}

TEST_P(AttentionRows, FutureKeysAreNotRead) {
  const AttentionShape shape = {.tokens = 40,
                                .start = 0,
                                .heads = 1,
                                .kv_heads = 1,
                                .head_dim = 8,
                                .window = 0,
                                .scale = 1,
                                .softcap = 0};
  Inputs in(shape);
  ThreadPool pool(1);
  std::vector<float> before(in.q.size());
  GetParam().run(shape, in.q.data(), in.keys.data(), in.values.data(), before.data(), pool);
  std::fill_n(in.keys.begin() + 30 * 8, 80, 1e3F);
  std::fill_n(in.values.begin() + 30 * 8, 80, 1e3F);
  std::vector<float> after(in.q.size());
  GetParam().run(shape, in.q.data(), in.keys.data(), in.values.data(), after.data(), pool);
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 30 * 8, after.begin()));
}

INSTANTIATE_TEST_SUITE_P(Table, AttentionRows,
                         testing::ValuesIn(attention_rows().begin(), attention_rows().end()),
                         [](const auto& row) { return std::string(isa_name(row.param.isa)); });

TEST(Attention, TheTableEndsWithTheReference) { EXPECT_EQ(attention_rows().back().isa, Isa::kRef); }

}  // namespace
}  // namespace quantlane::kernels
