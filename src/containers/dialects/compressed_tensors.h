// compressed-tensors: what llm-compressor writes and vLLM, SGLang, TGI and transformers load.
//
// Tensors of one quantized Linear [N, K] (suffix after the module name):
//   float-quantized       weight F8_E4M3 [N, K]; weight_scale [N, 1] (channel), [1] (tensor) or
//                         [ceil(N/r), ceil(K/c)] (block r x c)
//   int-quantized         weight I8 [N, K]; weight_scale [N, 1] or [1]
//   pack-quantized        weight_packed I32 [N, K*b/32]; weight_scale [N, K/g]; weight_shape I64
//   [2];
//                         weight_zero_point I32 [N*b/32, K/g] (asymmetric, packed along N);
//                         weight_g_idx I32 [K] (act-order files of old writers, read only)
//   nvfp4-pack-quantized  weight_packed U8 [N, K/2]; weight_scale F8_E4M3 [N, K/16];
//                         weight_global_scale F32 [1] (a divisor)
//   mxfp4-pack-quantized  weight_packed U8 [N, K/2]; weight_scale U8 [N, K/32] (E8M0)
//   mxfp8-quantized       weight F8_E4M3 [N, K]; weight_scale U8 [N, K/32] (E8M0)
//   static inputs         input_scale [1]; NVFP4: input_global_scale F32 [1] (a divisor)
// A packed word holds codes of b bits along K, the first in the lowest bits, each stored as
// code + 2^(b-1). Worked example: codes -8..-1 (4 bits) pack into 0x76543210. Widths that do not
// divide 32 run on across words; writers before 2026-06 left the upper bits of each word empty
// (read only). An FP4 byte holds the even column in its low nibble: (0.5, 1.0) is 0x21.
// Source: compressed-tensors 0.19 and 0.20, compressors/ and quantization/.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kCompressedTensors;
}
