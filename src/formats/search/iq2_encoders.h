// Rows of values to super-blocks of iq2_xxs, iq2_xs, iq2_s. `importance` may be null, `count` is a
// multiple of 256. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/blocks/iq2_s.h"
#include "formats/blocks/iq2_xs.h"
#include "formats/blocks/iq2_xxs.h"
#include "formats/search/grid_search.h"
#include "formats/search/grid_superblock.h"

namespace quantlane {
namespace {

constexpr LevelLanes kIq2LevelLanes = level_lanes(kLevelsIq2, 0);

// Eight values of three magnitudes, signs apart.
template <bool kEvenSigns>
struct SignedOctets {
  const GridIndex* grid;
  HalfPointLevels half;
  int length;  // of a sub-block

  SignedOctets(const GridIndex& index, int sub_block) : grid(&index), length(sub_block) {
    fill_ternary_levels(kIq2LevelLanes, half);
  }

  static void prepare(float* x, unsigned char* signs) { split_signs(x, kGridOctets, signs); }

  void rate_steps(const SubBlock& block, const Lanes& steps, Lanes& xq, Lanes& qq) const {
    rate_ternary_steps(block, length, kIq2LevelLanes, steps, xq, qq);
  }

  // `codes`: of another step, as a first guess; then those of this step.
  SubBlockSums fit(const SubBlock& block, float step, OctetCode* codes) const {
    alignas(64) float least[kMaxSubBlock + kLanes];
    alignas(64) float q[kMaxSubBlock];
    unsigned char number[kMaxSubBlock];
    nearest_levels<3>(block, length, kIq2LevelLanes, step, number, least);
    for (int g = 0; g < length / 8; ++g) {
      const unsigned wish = pack_ternary(number + 8 * g);
      const bool odd = kEvenSigns && __builtin_parity(block.signs[g]) != 0;
      const float* value = block.value + 8 * g;
      const float* w = block.w + 8 * g;
      int found = index_near(*grid, wish);
      if (odd || grid->points[found] != wish) {
        LevelCosts costs;
        rate_levels<TernaryOctet>(value, w, least + 8 * g, kIq2LevelLanes, step, costs);
        if (odd) {
          rate_flips<TernaryOctet>(value, w, kIq2LevelLanes, step, costs);
          found = nearest_point<TernaryOctet, true>(*grid, costs, found, codes[g].points[0]).index;
        } else {
          found = nearest_point<TernaryOctet, false>(*grid, costs, found, codes[g].points[0]).index;
        }
      }
      put_ternary_levels(half, grid->points[found], q + 8 * g);
      unsigned signs = block.signs[g];
      if (odd) signs ^= 1U << flip_cheapest(value, w, 8, q + 8 * g);
      codes[g].points[0] = static_cast<unsigned short>(found);
      codes[g].signs = static_cast<unsigned char>(signs);
    }
    return sums_of(block, q, length);
  }
};

inline void encode_iq2_xxs(const float* values, const float* importance, int64_t count,
                           void* blocks) {
  const SignedOctets<true> book(grid_index_iq2_xxs(), 32);
  static constexpr GridLayout kLayout{.length = 32,
                                      .highest_scale = 15,
                                      .part = 0.125F,
                                      .first_steps = first_grid_steps(1.0F / 8, 0.4F / 43, 1.122F),
                                      .tries = 3,
                                      .steps = {0.8F, 1, 1.25F}};
  for (int64_t b = 0; b * kGridBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kGridBlock;
    const GridSuperBlock found =
        encode_grid_superblock(book, kLayout, values + b * kGridBlock, weight);
    BlockIq2Xxs block{.d = found.d, .qs = {}};
    for (int j = 0; j < 8; ++j) {
      uint32_t word = static_cast<uint32_t>(found.scales[j]) << 28;
      for (int l = 0; l < 4; ++l) {
        const OctetCode& code = found.codes[4 * j + l];
        block.qs[8 * j + l] = static_cast<uint8_t>(code.points[0]);
        word |= static_cast<uint32_t>(code.signs & 127) << (7 * l);
      }
      __builtin_memcpy(block.qs + 8 * j + 4, &word, sizeof word);
    }
    store_block(block, b, blocks);
  }
}

inline void encode_iq2_xs(const float* values, const float* importance, int64_t count,
                          void* blocks) {
  const SignedOctets<true> book(grid_index_iq2_xs(), 16);
  static constexpr GridLayout kLayout{.length = 16,
                                      .highest_scale = 15,
                                      .part = 0.125F,
                                      .first_steps = first_grid_steps(1.0F / 8, 0.4F / 43, 1.122F),
                                      .tries = 3,
                                      .steps = {0.8F, 1, 1.25F}};
  for (int64_t b = 0; b * kGridBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kGridBlock;
    const GridSuperBlock found =
        encode_grid_superblock(book, kLayout, values + b * kGridBlock, weight);
    BlockIq2Xs block{.d = found.d, .qs = {}, .scales = {}};
    for (int g = 0; g < 32; ++g) {
      const OctetCode& code = found.codes[g];
      block.qs[g] = static_cast<uint16_t>(code.points[0] | (code.signs & 127) << 9);
    }
    for (int j = 0; j < 8; ++j) {
      block.scales[j] = static_cast<uint8_t>(found.scales[2 * j] | found.scales[2 * j + 1] << 4);
    }
    store_block(block, b, blocks);
  }
}

inline void encode_iq2_s(const float* values, const float* importance, int64_t count,
                         void* blocks) {
  const SignedOctets<false> book(grid_index_iq2_s(), 16);
  static constexpr GridLayout kLayout{.length = 16,
                                      .highest_scale = 15,
                                      .part = 0.125F,
                                      .first_steps = first_grid_steps(1.0F / 8, 0.4F / 43, 1.122F),
                                      .tries = 3,
                                      .steps = {0.8F, 1, 1.25F}};
  for (int64_t b = 0; b * kGridBlock < count; ++b) {
    const float* weight = importance == nullptr ? nullptr : importance + b * kGridBlock;
    const GridSuperBlock found =
        encode_grid_superblock(book, kLayout, values + b * kGridBlock, weight);
    BlockIq2S block{.d = found.d, .qs = {}, .signs = {}, .qh = {}, .scales = {}};
    for (int g = 0; g < 32; ++g) {
      const OctetCode& code = found.codes[g];
      block.qs[g] = static_cast<uint8_t>(code.points[0]);
      block.signs[g] = code.signs;
      block.qh[g / 4] =
          static_cast<uint8_t>(block.qh[g / 4] | (code.points[0] >> 8) << (g % 4 * 2));
    }
    for (int j = 0; j < 8; ++j) {
      block.scales[j] = static_cast<uint8_t>(found.scales[2 * j] | found.scales[2 * j + 1] << 4);
    }
    store_block(block, b, blocks);
  }
}

}  // namespace
}  // namespace quantlane
