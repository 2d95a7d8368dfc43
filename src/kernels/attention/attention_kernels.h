// The pieces of attention that exist once per instruction set. Plain data and C types only: the ISA
// objects include this header.
//
// Every lane is one query row (a token's head); a panel holds `width` of them. Scores and outputs
// are transposed, [key][lane] and [dim][lane], so softmax needs no sums across lanes.
#pragma once
#include <stdint.h>

namespace quantlane::kernels {

// Online softmax (Milakov and Gimelshein 2018) of one block of keys. In: scores [keys][width].
// Out: scores = exp(score - largest) (0 where masked); largest, total updated; correction = what
// earlier totals and outputs must be multiplied with.
struct SoftmaxArgs {
  float* scores;
  int64_t keys;
  int64_t width;
  float softcap;  // 0: none
  // Key j is visible to a lane if first[lane] <= j <= last[lane]; nullptr: all are.
  const float* first;
  const float* last;
  float* largest;
  float* total;
  float* correction;
};

// out[i * width + lane] = out[...] * correction[lane] + sum_j values[j * value_stride + i] *
// weights[j * width + lane], j in order.
struct AccumulateArgs {
  const float* values;
  int64_t value_stride;
  const float* weights;
  int64_t keys;
  int64_t dims;
  int64_t width;
  const float* correction;
  float* out;
};

struct AttentionKernels {
  int64_t key_block;  // keys per softmax step
  void (*softmax)(const SoftmaxArgs& args);
  void (*accumulate)(const AccumulateArgs& args);
  // out[i * width + lane] /= total[lane]
  void (*normalize)(const float* total, int64_t dims, int64_t width, float* out);
};

extern const AttentionKernels kAttentionAvx2;
extern const AttentionKernels kAttentionAvx512;

}  // namespace quantlane::kernels
