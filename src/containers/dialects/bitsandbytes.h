// bitsandbytes 4-bit (QLoRA): what transformers saves and vLLM loads.
//
// Tensors of one quantized Linear [N, K] (suffix after the module name), G = N*K/64 groups:
//   weight                                U8 [N*K/2, 1], row-major, the first code in the high
//   nibble weight.absmax                         F32 [G], or U8 [G] when the scales are quantized
//   again weight.quant_map                      F32 [16], the values of the codes
//   weight.nested_absmax                  F32 [ceil(G/256)], weight.nested_quant_map F32 [256]
//   weight.quant_state.bitsandbytes__nf4  U8: JSON {"quant_type", "blocksize", "dtype", "shape",
//   and
//                                         of quantized scales "nested_blocksize", "nested_dtype",
//                                         "nested_offset"}
// A scale of codes c in block b is nested_quant_map[c] * nested_absmax[b] + nested_offset. Worked
// byte: codes 7 (zero) and 15 (one) make 0x7F.
// quantization_config: quant_method, load_in_4bit, bnb_4bit_quant_type, bnb_4bit_use_double_quant,
// llm_int8_skip_modules; the tensors say which Linears are quantized. FP4 and 8-bit are not read.
// Source: bitsandbytes 0.49 functional.py and nn/modules.py.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kBitsAndBytes;
}
