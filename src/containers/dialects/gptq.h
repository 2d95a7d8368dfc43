// GPTQ: what AutoGPTQ, GPTQModel and AutoRound write and vLLM, SGLang, TGI, ExLlama and
// transformers load.
//
// Tensors of one quantized Linear [N, K], b bits, G = ceil(K / g) groups (suffix after the module):
//   qweight I32 [K*b/32, N], codes packed along K; qzeros I32 [G, N*b/32], packed along N;
//   scales F16 [G, N]; g_idx I32 [K], the group of each column
// Codes are unsigned, the first in the lowest bits, across words for 3 bits; value = (code - zero)
// * scale, scales converted to the dtype of the model first, products rounded to it.
// checkpoint_format "gptq" (and older files, which do not say): qzeros hold zero - 1; symmetric
// 4-bit words are 0x77777777. "gptq_v2": they hold zero; 0x88888888. A zero point of 0 wraps to
// 2^b - 1 in the first, and readers make 2^b of it.
// quantization_config: bits, group_size (-1 = one group), desc_act, sym, lm_head, dynamic (regular
// expressions with overrides, "-:" = not quantized); quantize_config.json beside it holds the same.
// Source: GPTQModel 7.7 (nn_modules/qlinear, quantization/config.py), vLLM gptq.py.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kGptq;
extern const Dialect kGptqV2;
}  // namespace quantlane
