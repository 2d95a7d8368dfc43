// compressed-tensors: what llm-compressor writes and vLLM, SGLang, TGI and transformers load.
//
// Tensors of one quantized Linear [N, K] (suffix after the module name):
//   float-quantized  weight F8_E4M3 [N, K]; weight_scale [N, 1] (channel) or [1] (tensor)
//   int-quantized    weight I8 [N, K]; weight_scale [N, 1] or [1]
//   pack-quantized   weight_packed I32 [N, K*b/32]; weight_scale [N, K/g]; weight_shape I64 [2];
//                    weight_zero_point I32 [N*b/32, K/g] (asymmetric, packed along N);
//                    weight_g_idx I32 [K] (act-order files of old writers, read only)
// A packed word holds 32/b values along K, the first in the lowest bits, each stored as
// code + 2^(b-1). Worked example: codes -8..-1 (4 bits) pack into 0x76543210.
// Source: compressed-tensors 0.19, compressors/ and quantization/.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kCompressedTensors;
}
