// AutoAWQ, version "gemm": what AutoAWQ and AutoRound write and vLLM, SGLang, TGI and transformers
// load.
//
// Tensors of one quantized Linear [N, K], 4 bits, G = K / g groups (suffix after the module):
//   qweight I32 [K, N/8]; qzeros I32 [G, N/8]; scales F16 [G, N]
// The eight nibbles of word c, from the lowest bits, are the rows 8c + 0, 2, 4, 6, 1, 3, 5, 7.
// Worked example: rows of values 0..7 give 0x75316420. Codes and zeros are 0..15; value = (code -
// zero) * scale, rounded to binary16. quantization_config: bits, group_size, zero_point, version,
// modules_to_not_convert (parts of module names); older files say the same in quant_config.json
// with w_bit and q_group_size. Source: AutoAWQ 0.2.9 (utils/packing_utils.py, models/_config.py),
// vLLM awq.py.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kAwq;
}
