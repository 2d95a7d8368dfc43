// The pieces of second moments that exist once per instruction set. Plain data and C types only:
// the ISA objects include this header.
//
// Rows are packed two tokens at a time into panels of 32 columns: element (p, c) of a panel holds,
// as bf16, column c of token 2p in its lower half and of token 2p + 1 in its upper one; zeros where
// there is no such token or column.
#pragma once
#include <stdint.h>

namespace quantlane::kernels {

constexpr int64_t kMomentPanel = 32;  // columns of a panel
constexpr int64_t kMomentRows = 8;    // columns of the left factor that one tile takes

// sums[i * stride + j] += sum_p left[p, i] . right[p, j] for i < rows <= kMomentRows, j < width <=
// kMomentPanel; `left` points to the first of its columns within a panel.
struct MomentTileArgs {
  const uint32_t* left;
  const uint32_t* right;
  float* sums;
  int64_t stride;
  int64_t pairs;
  int64_t rows;
  int64_t width;
};

struct MomentKernels {
  // One panel out of rows x (less those of `minus` where that is given), `cols` apart; `width`
  // columns of it are there.
  void (*pack)(const float* x, const float* minus, int64_t tokens, int64_t cols, int64_t width,
               uint32_t* panel);
  void (*tile)(const MomentTileArgs& args);
};

extern const MomentKernels kMomentsAvx512Bf16;

}  // namespace quantlane::kernels
