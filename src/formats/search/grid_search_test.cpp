// The search of the i-quants against trying every point and every allowed pattern of signs. This
// file sees the portable code; block_encoders_test.cpp compares the instruction sets with it.
#include "formats/search/grid_search.h"

#include <array>
#include <bit>
#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "formats/search/iq1_encoders.h"
#include "formats/search/iq2_encoders.h"
#include "formats/search/iq3_encoders.h"

namespace quantlane {
namespace {

struct Book {
  const char* name;
  const GridIndex& (*index)();
  int values;
};
constexpr Book kBooks[] = {{"iq1", grid_index_iq1, 8},         {"iq2_xxs", grid_index_iq2_xxs, 8},
                           {"iq2_xs", grid_index_iq2_xs, 8},   {"iq2_s", grid_index_iq2_s, 8},
                           {"iq3_xxs", grid_index_iq3_xxs, 4}, {"iq3_s", grid_index_iq3_s, 4}};

int steps_apart(unsigned a, unsigned b, int values) {
  const int bits = 16 / values;
  int sum = 0;
  for (int shift = 0; shift < 16; shift += bits) {
    const unsigned mask = (1U << bits) - 1;
    sum += std::abs(static_cast<int>(a >> shift & mask) - static_cast<int>(b >> shift & mask));
  }
  return sum;
}

TEST(GridIndex, HoldsEveryPointOnce) {
  for (const Book& book : kBooks) {
    SCOPED_TRACE(book.name);
    const GridIndex& grid = book.index();
    EXPECT_EQ(grid.count % 64, 0);
    std::set<unsigned> points;
    std::set<unsigned> ordered(grid.order, grid.order + grid.count);
    for (int i = 0; i < grid.count; ++i) {
      const unsigned point = grid.points[i];
      EXPECT_TRUE(points.insert(point).second);
      for (int t = 0; t < kGridParts; ++t) EXPECT_EQ(grid.entries[t][i], point >> (4 * t) & 15);
      EXPECT_EQ(index_near(grid, point), i);
    }
    EXPECT_EQ(ordered.size(), points.size());
    EXPECT_EQ(grid.bucket_first[grid.bucket_count], grid.count);
    for (int b = 0; b < grid.bucket_count; ++b) {
      ASSERT_LT(grid.bucket_first[b], grid.bucket_first[b + 1]);
      const unsigned shared = grid.points[grid.order[grid.bucket_first[b]]] & 255;
      for (int i = grid.bucket_first[b]; i < grid.bucket_first[b + 1]; ++i) {
        EXPECT_EQ(grid.points[grid.order[i]] & 255, shared);
      }
    }
  }
}

TEST(GridIndex, NearIsNearest) {
  Rng rng(1);
  for (const Book& book : kBooks) {
    SCOPED_TRACE(book.name);
    const GridIndex& grid = book.index();
    for (int trial = 0; trial < 500; ++trial) {
      unsigned combination = 0;
      for (int j = 0; j < book.values; ++j) {
        const auto level = static_cast<unsigned>(rng.next() % (book.values == 8 ? 3 : 8));
        combination |= level << (j * 16 / book.values);
      }
      int least = 1000;
      for (int i = 0; i < grid.count; ++i) {
        least = std::min(least, steps_apart(grid.points[i], combination, book.values));
      }
      const unsigned near = grid.points[index_near(grid, combination)];
      EXPECT_EQ(steps_apart(near, combination, book.values), least);
    }
  }
}

// Excess over the true minimum: at most the roundings of nine bytes on either side.
template <class Shape, bool kFlipOne>
void compare_with_every_point(const Book& book) {
  const GridIndex& grid = book.index();
  Rng rng(2);
  for (int trial = 0; trial < 300; ++trial) {
    LevelCosts costs;
    for (int i = 0; i < 32; ++i) {
      const bool exists = Shape::kEntries == 8 || i % 4 != 3;
      const double cost = std::exp(rng.normal() * 2) * (rng.uniform() < 0.3 ? 0.0 : 1.0);
      costs.level[i] = exists ? static_cast<float>(cost) : kNoEntry;
      costs.flip[i] = static_cast<float>(std::exp(rng.normal() * 2));
    }
    const int guess = static_cast<int>(rng.next() % static_cast<unsigned>(grid.count));
    const int other = static_cast<int>(rng.next() % static_cast<unsigned>(grid.count));
    float least = 1e30F;
    for (int i = 0; i < grid.count; ++i) {
      least = std::min(least, point_cost<Shape, kFlipOne>(costs, grid.points[i]));
    }
    const float known = std::min(point_cost<Shape, kFlipOne>(costs, grid.points[guess]),
                                 point_cost<Shape, kFlipOne>(costs, grid.points[other]));
    const NearestPoint found = nearest_point<Shape, kFlipOne>(grid, costs, guess, other);
    EXPECT_EQ(found.cost, (point_cost<Shape, kFlipOne>(costs, grid.points[found.index])));
    EXPECT_LE(found.cost, least + known * 9.1F / kByteCost) << book.name;
  }
}

TEST(GridSearch, FindsTheCheapestPoint) {
  for (const Book& book : kBooks) {
    if (book.values == 8) {
      compare_with_every_point<TernaryOctet, false>(book);
      compare_with_every_point<TernaryOctet, true>(book);
    } else {
      compare_with_every_point<EightLevelQuad, false>(book);
      compare_with_every_point<EightLevelQuad, true>(book);
    }
  }
}

// Least sum w (x - step q)^2 of eight values over pairs of points (iq3) or points, with free signs
// or an even number of negative ones.
double least_error(const float* x, const float* w, float step, const GridIndex& grid,
                   const float* levels, int values, bool even) {
  const int bits = 16 / values;
  std::array<double, 2> total = {0, HUGE_VAL};  // parity of the signs so far
  for (int half = 0; half < 8 / values; ++half) {
    std::array<double, 2> least = {HUGE_VAL, HUGE_VAL};
    for (int i = 0; i < grid.count; ++i) {
      std::array<double, 2> best = {0, HUGE_VAL};
      for (int j = 0; j < values; ++j) {
        const int at = half * values + j;
        const double q = step * levels[grid.points[i] >> (bits * j) & ((1U << bits) - 1)];
        const double plus = w[at] * std::pow(x[at] - q, 2);
        const double minus = w[at] * std::pow(x[at] + q, 2);
        best = {std::min(best[0] + plus, best[1] + minus),
                std::min(best[1] + plus, best[0] + minus)};
      }
      for (std::size_t p = 0; p < 2; ++p) least[p] = std::min(least[p], best[p]);
    }
    total = {std::min(total[0] + least[0], total[1] + least[1]),
             std::min(total[1] + least[0], total[0] + least[1])};
  }
  return even ? total[0] : std::min(total[0], total[1]);
}

template <class Octets>
void compare_with_every_sign(const Octets& book, const float* levels, int length, int values,
                             bool even) {
  Rng rng(3);
  double ratio_sum = 0;
  constexpr int kTrials = 40;
  for (int trial = 0; trial < kTrials; ++trial) {
    alignas(64) float x[kGridBlock + kLanes] = {};
    alignas(64) float w[kGridBlock + kLanes] = {};
    for (int i = 0; i < length; ++i) {
      x[i] = static_cast<float>(rng.normal());
      w[i] = static_cast<float>(std::exp(rng.normal()));
    }
    const std::vector<float> original(x, x + length);
    unsigned char signs[kGridOctets] = {};
    book.prepare(x, signs);
    const float step =
        (0.5F + static_cast<float>(trial) / kTrials) * 2.0F / levels[values == 8 ? 2 : 7];
    OctetCode codes[kMaxOctets] = {};
    const SubBlockSums sums = book.fit({.value = x, .w = w, .signs = signs}, step, codes);
    double weight = 0;
    double least = 0;
    for (int i = 0; i < length; ++i) weight += w[i] * x[i] * x[i];
    for (int g = 0; g < length / 8; ++g) {
      const int negatives = std::popcount(static_cast<unsigned>(codes[g].signs));
      EXPECT_TRUE(!even || negatives % 2 == 0);
      least += least_error(&original[static_cast<std::size_t>(8 * g)], w + 8 * g, step, *book.grid,
                           levels, values, even);
    }
    const double error = weight - 2 * step * sums.xq + step * step * sums.qq;
    EXPECT_GE(error, least * 0.9999);
    EXPECT_LE(error, least * 1.005);
    ratio_sum += error / least;
  }
  EXPECT_LT(ratio_sum / kTrials, 1.0005);
}

TEST(GridSearch, SignsAndPointsAreTheBestPossible) {
  const SignedOctets<true> iq2_xxs(grid_index_iq2_xxs(), 32);
  const SignedOctets<true> iq2_xs(grid_index_iq2_xs(), 16);
  const SignedOctets<false> iq2_s(grid_index_iq2_s(), 16);
  const SignedQuads<true> iq3_xxs(grid_index_iq3_xxs(), kIq3XxsLevelLanes);
  const SignedQuads<false> iq3_s(grid_index_iq3_s(), kIq3SLevelLanes);
  compare_with_every_sign(iq2_xxs, kLevelsIq2, 32, 8, true);
  compare_with_every_sign(iq2_xs, kLevelsIq2, 16, 8, true);
  compare_with_every_sign(iq2_s, kLevelsIq2, 16, 8, false);
  compare_with_every_sign(iq3_xxs, kLevelsIq3Xxs, 32, 4, true);
  compare_with_every_sign(iq3_s, kLevelsIq3S, 32, 4, false);
}

// Least sum w (x - step q)^2 with all levels moved by `offset`.
double least_offset_error(const float* x, const float* w, float step, float offset) {
  const GridIndex& grid = grid_index_iq1();
  double least = HUGE_VAL;
  for (int i = 0; i < grid.count; ++i) {
    double error = 0;
    for (int j = 0; j < 8; ++j) {
      const double q = kLevelsIq1[grid.points[i] >> (2 * j) & 3] + offset;
      error += w[j] * std::pow(x[j] - step * q, 2);
    }
    least = std::min(least, error);
  }
  return least;
}

template <bool kOffsetOfOctet>
void compare_with_every_offset(int length) {
  const OffsetOctets<kOffsetOfOctet> book(length);
  Rng rng(4);
  for (int trial = 0; trial < 40; ++trial) {
    alignas(64) float x[kGridBlock + kLanes] = {};
    alignas(64) float w[kGridBlock + kLanes] = {};
    double weight = 0;
    for (int i = 0; i < length; ++i) {
      x[i] = static_cast<float>(rng.normal());
      w[i] = static_cast<float>(std::exp(rng.normal()));
      weight += w[i] * x[i] * x[i];
    }
    const float step = 0.6F + 0.03F * static_cast<float>(trial);
    OctetCode codes[kMaxOctets] = {};
    const SubBlockSums sums = book.fit({.value = x, .w = w, .signs = nullptr}, step, codes);
    double octets = 0;
    double raised = 0;
    double lowered = 0;
    for (int at = 0; at < length; at += 8) {
      const double up = least_offset_error(x + at, w + at, step, kDeltaIq1);
      const double down = least_offset_error(x + at, w + at, step, -kDeltaIq1);
      octets += std::min(up, down);
      raised += up;
      lowered += down;
    }
    const double least = kOffsetOfOctet ? octets : std::min(raised, lowered);
    const double error = weight - 2 * step * sums.xq + step * step * sums.qq;
    EXPECT_GE(error, least * 0.9999);
    EXPECT_LE(error, least * 1.005);
  }
}

TEST(GridSearch, OffsetsAreTheBestPossible) {
  compare_with_every_offset<true>(16);
  compare_with_every_offset<false>(32);
}

}  // namespace
}  // namespace quantlane
