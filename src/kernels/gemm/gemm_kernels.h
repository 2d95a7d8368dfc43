// The pieces of a matrix product that exist once per instruction set. Plain data and C types only:
// the ISA objects include this header.
//
// Tokens >= 8 ("tiled"): x is packed once per product into panels of `panel_tokens` tokens, slot
// (k, t) at panel[k * width + t]; a block of w rows is loaded in pieces of kGemmKBlock slots, row
// stride kGemmKStride; each tile holds a few w rows times one panel of tokens in registers and adds
// products in k order, one instruction per slot. Sums pass from one K piece to the next through
// `sums` [row][token], so tiling changes no bit of the result. A slot of 4 bytes is one column as
// float32, or two neighbours as bf16, zero where there is no second one.
// Tokens < 8 ("dot"): each w row is read once and multiplied with all tokens.
#pragma once
#include <stdint.h>

namespace quantlane::kernels {

// Slots of w per piece: a packed x panel of 32 tokens * 256 * 4 bytes = 32 KiB stays in a level-1
// cache of 48 KiB. The stride is padded by one cache line so that tile rows fall in different sets.
constexpr int64_t kGemmKBlock = 256;
constexpr int64_t kGemmKStride = kGemmKBlock + 16;

// One tile pass: for rows r < rows and lanes t < width (a multiple of the vector length):
//   sums[r * sums_stride + t] = (first ? 0 : sums[...]) + sum_k w[r * kGemmKStride + k] * panel[k *
//   width + t],  k < k_count, in order.
struct GemmTileArgs {
  const float* w;
  const float* panel;
  float* sums;
  int64_t rows;
  int64_t width;
  int64_t k_count;
  int64_t sums_stride;
  bool first;
};

// y[t * y_stride + r] = sum_k x[t * x_stride + k] * w[r * k_count + k] for rows r < rows, tokens
// t < tokens; the bits of one output depend on k_count only. x is aligned to kGemmDotPad floats and
// zero from k_count up to x_stride, a multiple of kGemmDotPad.
constexpr int64_t kGemmDotPad = 32;
struct GemmDotArgs {
  const void* w;  // rows of k_count elements, contiguous: float32 or bf16
  const float* x;
  float* y;
  int64_t rows;
  int64_t tokens;
  int64_t k_count;
  int64_t x_stride;
  int64_t y_stride;
};

struct GemmKernels {
  int64_t slot_columns;   // 1: float32, 2: bf16
  int64_t panel_tokens;   // tokens per full panel; 0: no tiled path, `dot` serves any token count
  int64_t vector_tokens;  // the last panel is rounded up to this many tokens
  int64_t row_block;      // w rows loaded together, a multiple of 16
  // x [tokens, k] with row stride k -> panel [slots of k, width], zeros in lanes >= tokens.
  void (*pack)(const float* x, int64_t tokens, int64_t k, int64_t width, float* panel);
  void (*tile)(const GemmTileArgs& args);
  // y[t * y_stride + r] = sums[r * sums_stride + t].
  void (*store)(const float* sums, int64_t sums_stride, int64_t rows, int64_t tokens, float* y,
                int64_t y_stride);
  // Columns of a row -> slots.
  void (*load_bf16)(const uint16_t* values, int64_t count, float* slots);
  void (*load_f32)(const float* values, int64_t count, float* slots);
  // nullptr: the tiled path serves any token count.
  void (*dot_f32)(const GemmDotArgs& args);
  void (*dot_bf16)(const GemmDotArgs& args);
};

// Plain loops, double accumulation; no tiled path.
extern const GemmKernels kGemmRef;
extern const GemmKernels kGemmAvx2;
extern const GemmKernels kGemmAvx512;
// Rounds both factors to bf16.
extern const GemmKernels kGemmAvx512Bf16;

}  // namespace quantlane::kernels
