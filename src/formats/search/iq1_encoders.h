// Rows of values to super-blocks of iq1_s, iq1_m. `importance` may be null, `count` is a multiple
// of 256. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/blocks/iq1_m.h"
#include "formats/blocks/iq1_s.h"
#include "formats/search/grid_search.h"
#include "formats/search/grid_superblock.h"

namespace quantlane {
namespace {

// With the offset added and subtracted.
constexpr LevelLanes kIq1LevelLanes[2] = {level_lanes(kLevelsIq1, kDeltaIq1),
                                          level_lanes(kLevelsIq1, -kDeltaIq1)};
constexpr LevelLanes kIq1PlainLevels = level_lanes(kLevelsIq1, 0);

// Eight values of three levels, all moved by the same offset up or down.
template <bool kOffsetOfOctet>
struct OffsetOctets {
  const GridIndex* grid;
  HalfPointLevels half[2];
  int length;  // of a sub-block

  explicit OffsetOctets(int sub_block) : grid(&grid_index_iq1()), length(sub_block) {
    for (int minus = 0; minus < 2; ++minus) fill_ternary_levels(kIq1LevelLanes[minus], half[minus]);
  }

  static void prepare(float*, unsigned char*) {}

  void rate_steps(const SubBlock& block, const Lanes& steps, Lanes& xq, Lanes& qq) const {
    rate_ternary_steps(block, length, kIq1PlainLevels, steps, xq, qq);
  }

  // `codes`: of another step, as a first guess; then those of this step.
  SubBlockSums fit(const SubBlock& block, float step, OctetCode* codes) const {
    OffsetFit with[2];
    for (int minus = 0; minus < 2; ++minus) rate(block, step, minus, with[minus]);
    if constexpr (kOffsetOfOctet) {
      for (int g = 0; g < length / 8; ++g) {
        const int likely = with[1].bound[g] < with[0].bound[g] ? 1 : 0;
        const float cost = place(block, step, likely, g, with[likely], codes[g]);
        const bool other = with[1 - likely].bound[g] < cost &&
                           place(block, step, 1 - likely, g, with[1 - likely], codes[g]) < cost;
        codes[g].minus = static_cast<unsigned char>(other ? 1 - likely : likely);
      }
    } else {
      const int minus = offset_of_all(block, step, with, codes);
      for (int g = 0; g < length / 8; ++g) codes[g].minus = static_cast<unsigned char>(minus);
    }
    alignas(64) float q[kMaxSubBlock];
    for (int g = 0; g < length / 8; ++g) {
      const int minus = codes[g].minus;
      put_ternary_levels(half[minus], grid->points[codes[g].points[minus]], q + 8 * g);
    }
    return sums_of(block, q, length);
  }

 private:
  struct OffsetFit {
    alignas(64) float least[kMaxSubBlock + kLanes];
    float bound[kMaxOctets];  // what an octet would cost if every combination were a point
    unsigned char number[kMaxSubBlock];
  };

  void rate(const SubBlock& block, float step, int minus, OffsetFit& fit) const {
    nearest_levels<3>(block, length, kIq1LevelLanes[minus], step, fit.number, fit.least);
    for (int g = 0; g < length / 8; ++g) {
      const float* v = fit.least + 8 * g;
      fit.bound[g] = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    }
  }

  // Finds the point of an octet; returns its cost.
  float place(const SubBlock& block, float step, int minus, int g, const OffsetFit& fit,
              OctetCode& code) const {
    const unsigned wish = pack_ternary(fit.number + 8 * g);
    NearestPoint found{.index = index_near(*grid, wish), .cost = 0};
    if (grid->points[found.index] != wish) {
      LevelCosts costs;
      rate_levels<TernaryOctet>(block.value + 8 * g, block.w + 8 * g, fit.least + 8 * g,
                                kIq1LevelLanes[minus], step, costs);
      found = nearest_point<TernaryOctet, false>(*grid, costs, found.index, code.points[minus]);
    }
    code.points[minus] = static_cast<unsigned short>(found.index);
    return fit.bound[g] + found.cost;
  }

  // The cheaper offset for a whole sub-block; the second is given up where it cannot win.
  int offset_of_all(const SubBlock& block, float step, const OffsetFit* with,
                    OctetCode* codes) const {
    float bound[2] = {0, 0};
    for (int minus = 0; minus < 2; ++minus) {
      for (int g = 0; g < length / 8; ++g) bound[minus] += with[minus].bound[g];
    }
    const int likely = bound[1] < bound[0] ? 1 : 0;
    const int other = 1 - likely;
    float cost = 0;
    for (int g = 0; g < length / 8; ++g) {
      cost += place(block, step, likely, g, with[likely], codes[g]);
    }
    float other_cost = bound[other];
    for (int g = 0; g < length / 8 && other_cost < cost; ++g) {
      other_cost += place(block, step, other, g, with[other], codes[g]) - with[other].bound[g];
    }
    return other_cost < cost ? other : likely;
  }
};

inline void encode_iq1_s(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  const OffsetOctets<false> book(32);
  static constexpr GridLayout kLayout{.length = 32,
                                      .highest_scale = 7,
                                      .part = 1,
                                      .first_steps = first_grid_steps(1, 0.18F, 1.13F),
                                      .tries = 2,
                                      .steps = {0.877F, 1.14F}};
  for (int64_t b = 0; b * kGridBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kGridBlock;
    const GridSuperBlock found =
        encode_grid_superblock(book, kLayout, values + b * kGridBlock, weight);
    BlockIq1S block{.d = found.d, .qs = {}, .qh = {}};
    for (int g = 0; g < 32; ++g) {
      const OctetCode& code = found.codes[g];
      const unsigned point = code.points[code.minus];
      block.qs[g] = static_cast<uint8_t>(point);
      block.qh[g / 4] = static_cast<uint16_t>(block.qh[g / 4] | (point >> 8) << (g % 4 * 3));
    }
    for (int j = 0; j < 8; ++j) {
      block.qh[j] = static_cast<uint16_t>(block.qh[j] | found.scales[j] << 12 |
                                          found.codes[4 * j].minus << 15);
    }
    store_block(block, b, blocks);
  }
}

inline void encode_iq1_m(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  const OffsetOctets<true> book(16);
  static constexpr GridLayout kLayout{.length = 16,
                                      .highest_scale = 7,
                                      .part = 1,
                                      .first_steps = first_grid_steps(1, 0.18F, 1.13F),
                                      .tries = 2,
                                      .steps = {0.877F, 1.14F}};
  for (int64_t b = 0; b * kGridBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kGridBlock;
    const GridSuperBlock found =
        encode_grid_superblock(book, kLayout, values + b * kGridBlock, weight);
    BlockIq1M block{.qs = {}, .qh = {}, .scales = {}};
    for (int g = 0; g < 32; ++g) {
      const OctetCode& code = found.codes[g];
      const unsigned point = code.points[code.minus];
      block.qs[g] = static_cast<uint8_t>(point);
      const unsigned nibble = point >> 8 | static_cast<unsigned>(code.minus) << 3;
      block.qh[g / 2] = static_cast<uint8_t>(block.qh[g / 2] | nibble << (g % 2 * 4));
    }
    for (int j = 0; j < 16; ++j) {
      block.scales[j / 4] =
          static_cast<uint16_t>(block.scales[j / 4] | found.scales[j] << (j % 4 * 3));
    }
    for (int i = 0; i < 4; ++i) {
      block.scales[i] = static_cast<uint16_t>(block.scales[i] | (found.d >> (4 * i) & 15) << 12);
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
