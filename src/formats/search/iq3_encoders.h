// Rows of values to super-blocks of iq3_xxs, iq3_s. `importance` may be null, `count` is a multiple
// of 256. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/blocks/iq3_s.h"
#include "formats/blocks/iq3_xxs.h"
#include "formats/search/grid_search.h"
#include "formats/search/grid_superblock.h"

namespace quantlane {
namespace {

constexpr LevelLanes kIq3XxsLevelLanes = level_lanes(kLevelsIq3Xxs, 0);
constexpr LevelLanes kIq3SLevelLanes = level_lanes(kLevelsIq3S, 0);

// Twice four values of eight magnitudes, signs apart.
template <bool kEvenSigns>
struct SignedQuads {
  static constexpr int kLength = 32;  // of a sub-block
  const GridIndex* grid;
  const LevelLanes* levels;
  HalfPointLevels half;

  SignedQuads(const GridIndex& index, const LevelLanes& of_book) : grid(&index), levels(&of_book) {
    fill_quad_levels(of_book, half);
  }

  static void prepare(float* x, unsigned char* signs) { split_signs(x, kGridOctets, signs); }

  // The levels are nearly evenly spaced.
  void rate_steps(const SubBlock& block, const Lanes& steps, Lanes& xq, Lanes& qq) const {
    const float spacing = levels->v[1] - levels->v[0];
    const LaneVector offset = LaneVector{} + levels->v[0] / spacing;
    const LaneVector last = LaneVector{} + 7.0F;
    for (int h = 0; h < kLanes; h += kVectorLanes) {
      const LaneVector inverse = 1.0F / (load_lanes(steps.v + h) * spacing);
      LaneVector sum_xq{};
      LaneVector sum_qq{};
      for (int i = 0; i < kLength; ++i) {
        LaneVector k = clamp_lanes(inverse * block.value[i] - offset, LaneVector{}, last);
        k = (k + kRoundMagic) - kRoundMagic;
        const LaneVector q = levels->v[0] + spacing * k;
        const LaneVector weighted = q * block.w[i];
        sum_xq += weighted * block.value[i];
        sum_qq += weighted * q;
      }
      store_lanes(sum_xq, xq.v + h);
      store_lanes(sum_qq, qq.v + h);
    }
  }

  // `codes`: of another step, as a first guess; then those of this step.
  SubBlockSums fit(const SubBlock& block, float step, OctetCode* codes) const {
    alignas(64) float least[kMaxSubBlock + kLanes];
    alignas(64) float q[kMaxSubBlock];
    unsigned char number[kMaxSubBlock];
    nearest_levels<8>(block, kLength, *levels, step, number, least);
    for (int g = 0; g < kMaxOctets; ++g) {
      const bool odd = kEvenSigns && __builtin_parity(block.signs[g]) != 0;
      NearestPoint plain[2];
      NearestPoint turned[2];
      for (int h = 0; h < 2; ++h) {
        const int at = 8 * g + 4 * h;
        const unsigned wish = pack_quad(number + at);
        const int before = codes[g].points[h];
        plain[h] = {.index = index_near(*grid, wish), .cost = 0};
        const bool exists = grid->points[plain[h].index] == wish;
        if (exists && !odd) continue;
        LevelCosts costs;
        rate_levels<EightLevelQuad>(block.value + at, block.w + at, least + at, *levels, step,
                                    costs);
        if (odd) {
          rate_flips<EightLevelQuad>(block.value + at, block.w + at, *levels, step, costs);
          turned[h] = nearest_point<EightLevelQuad, true>(*grid, costs, plain[h].index, before);
        }
        if (!exists) {
          plain[h] = nearest_point<EightLevelQuad, false>(*grid, costs, plain[h].index, before);
        }
      }
      unsigned signs = block.signs[g];
      int half_turned = 0;
      if (odd) {
        half_turned = turned[0].cost + plain[1].cost <= plain[0].cost + turned[1].cost ? 0 : 1;
        plain[half_turned] = turned[half_turned];
      }
      for (int h = 0; h < 2; ++h) {
        codes[g].points[h] = static_cast<unsigned short>(plain[h].index);
        put_quad_levels(half, grid->points[plain[h].index], q + 8 * g + 4 * h);
      }
      if (odd) {
        const int at = 8 * g + 4 * half_turned;
        signs ^= 1U << (4 * half_turned + flip_cheapest(block.value + at, block.w + at, 4, q + at));
      }
      codes[g].signs = static_cast<unsigned char>(signs);
    }
    return sums_of(block, q, kLength);
  }
};

inline void encode_iq3_xxs(const float* values, const float* importance, int64_t count,
                           void* blocks) {
  const SignedQuads<true> book(grid_index_iq3_xxs(), kIq3XxsLevelLanes);
  static constexpr GridLayout kLayout{.length = 32,
                                      .highest_scale = 15,
                                      .part = 0.25F,
                                      .first_steps = first_grid_steps(1.0F / 4, 0.4F / 62, 1.122F),
                                      .tries = 3,
                                      .steps = {0.87F, 1, 1.15F}};
  for (int64_t b = 0; b * kGridBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kGridBlock;
    const GridSuperBlock found =
        encode_grid_superblock(book, kLayout, values + b * kGridBlock, weight);
    BlockIq3Xxs block{.d = found.d, .qs = {}, .signs_and_scales = {}};
    for (int j = 0; j < 8; ++j) {
      uint32_t word = static_cast<uint32_t>(found.scales[j]) << 28;
      for (int l = 0; l < 4; ++l) {
        const OctetCode& code = found.codes[4 * j + l];
        block.qs[8 * j + 2 * l] = static_cast<uint8_t>(code.points[0]);
        block.qs[8 * j + 2 * l + 1] = static_cast<uint8_t>(code.points[1]);
        word |= static_cast<uint32_t>(code.signs & 127) << (7 * l);
      }
      __builtin_memcpy(block.signs_and_scales + 4 * j, &word, sizeof word);
    }
    store_block(block, b, blocks);
  }
}

inline void encode_iq3_s(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  const SignedQuads<false> book(grid_index_iq3_s(), kIq3SLevelLanes);
  static constexpr GridLayout kLayout{.length = 32,
                                      .highest_scale = 15,
                                      .part = 1,
                                      .first_steps = first_grid_steps(1, 0.4F / 15, 1.122F),
                                      .tries = 3,
                                      .steps = {0.87F, 1, 1.15F}};
  for (int64_t b = 0; b * kGridBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kGridBlock;
    const GridSuperBlock found =
        encode_grid_superblock(book, kLayout, values + b * kGridBlock, weight);
    BlockIq3S block{.d = found.d, .qs = {}, .qh = {}, .signs = {}, .scales = {}};
    for (int g = 0; g < 32; ++g) {
      const OctetCode& code = found.codes[g];
      for (int h = 0; h < 2; ++h) {
        block.qs[2 * g + h] = static_cast<uint8_t>(code.points[h]);
        block.qh[g / 4] =
            static_cast<uint8_t>(block.qh[g / 4] | (code.points[h] >> 8) << (g % 4 * 2 + h));
      }
      block.signs[g] = code.signs;
    }
    for (int j = 0; j < 4; ++j) {
      block.scales[j] = static_cast<uint8_t>(found.scales[2 * j] | found.scales[2 * j + 1] << 4);
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
