// "fp8": FP8 checkpoints as DeepSeek, Qwen and others publish them and vLLM, SGLang, TensorRT-LLM
// and transformers load.
//
// Tensors of one quantized Linear [N, K] (suffix after the module name):
//   blocks  weight F8_E4M3 [N, K]; weight_scale_inv F32 [ceil(N/r), ceil(K/c)], a factor despite
//   its
//           name; inputs are rounded per token and group of c columns
//   tensor  weight F8_E4M3 [N, K]; weight_scale F32, one value; inputs are rounded per token, or by
//           input_scale F32, one value ("activation_scheme": "static")
// value = e4m3(code) * scale. quantization_config: activation_scheme, weight_block_size [r, c],
// modules_to_not_convert (or ignored_layers). What is quantized is told by the type of "weight".
// Source: vLLM fp8.py, transformers 5.23 finegrained_fp8.py, DeepSeek-V3 inference/.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kFp8Native;
}
