// Blocks taken apart into codes and what decodes them, for algorithms that choose codes one by one:
// value i = d * scales[i / n] * level(codes[i]) - dmin * minimums[i / n] with n = sub_values, each
// operation rounded to float32 as in BlockFormat::decode.
#pragma once
#include <cstddef>
#include <cstdint>

#include "formats/fp4_and_nl_codes.h"
#include "formats/lanes.h"
#include "formats/search/candidate_sums.h"

namespace quantlane {

inline constexpr int kMostSubBlocks = 16;
inline constexpr int kMostBlockValues = 256;

struct BlockParts {
  float d = 0;  // values that binary16 holds
  float dmin = 0;
  int scales[kMostSubBlocks] = {};
  int minimums[kMostSubBlocks] = {};
  std::uint8_t codes[kMostBlockValues] = {};  // from 0
};

// The formats that have one. Formats with a single scale per block have one sub-block whose scale
// is the integer 1; those that add an offset have the minimum 1 and any sign of dmin.
struct BlockGrid {
  int sub_values;      // values that share a scale and a minimum
  CodeRange levels;    // of the codes: code c stands for low + c
  bool non_linear;     // c stands for kNonLinearValues[c] (fp4_and_nl_codes.h) instead
  CodeRange scales;    // the integers that a scale can be
  float high_minimum;  // the integers 0..high_minimum that a minimum can be; 0 = no minimums
  // One block -> parts, and back; together they give the same bytes.
  void (*take_apart)(const std::byte* block, BlockParts& parts);
  void (*put_together)(const BlockParts& parts, std::byte* block);
  [[nodiscard]] bool has_minimums() const { return high_minimum > 0; }
};

namespace {

// What a stored code stands for.
inline float level_of(const BlockGrid& grid, int code) {
  return grid.non_linear ? code_value(code, NonLinearCodes{}) : code_value(code, grid.levels);
}
// The stored code whose level is nearest.
inline int code_near(const BlockGrid& grid, float level) {
  return grid.non_linear ? nearest_index(level, NonLinearCodes{})
                         : nearest_index(level, grid.levels);
}

}  // namespace

}  // namespace quantlane
