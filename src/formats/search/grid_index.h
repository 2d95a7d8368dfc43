// What the search for the nearest point of a code book reads. A point is four parts: pairs of
// 2-bit level numbers or single ones of 4 bits (grids.h), so a part is one of 16 entries. Plain
// data and C types only: the instruction-set objects include this header.
#pragma once
#include <stdint.h>

namespace quantlane {

constexpr int kGridParts = 4;

struct GridIndex {
  int count;               // points, a multiple of 64, at most 2048
  const uint16_t* points;  // as in grids.h
  // Entry of part t of point i: entries[t][i].
  const uint8_t* entries[kGridParts];
  // A point few steps of level away from a combination of levels that need not be a point (itself
  // where it is one): nearest[key_low[combination & 255] + key_high[combination >> 8]].
  const uint16_t* nearest;
  const uint16_t* key_low;
  const uint16_t* key_high;
  // The points again, ordered by their first two parts, which those at the places
  // bucket_first[b] .. bucket_first[b + 1] - 1 of `order` share.
  int bucket_count;
  const uint16_t* bucket_first;
  const uint16_t* order;
};

// Built on first use, valid until the program ends.
const GridIndex& grid_index_iq1();
const GridIndex& grid_index_iq2_xxs();
const GridIndex& grid_index_iq2_xs();
const GridIndex& grid_index_iq2_s();
const GridIndex& grid_index_iq3_xxs();
const GridIndex& grid_index_iq3_s();

}  // namespace quantlane
