// AMD Quark's Hugging Face export, read only: FP8, INT8 and MXFP4 as vLLM loads them.
//
// Tensors of one quantized Linear [N, K] (suffix after the module name):
//   fp8_e4m3, int8  weight F8_E4M3 or I8 [N, K]; weight_scale F32 [] (per_tensor) or [N]
//                   (per_channel); input_scale F32 [] when inputs are static
//   fp4             weight U8 [N, K/2], even columns in the low nibbles; weight_scale U8 [N, K/32]
//                   (E8M0, scale_format "e8m0")
// quantization_config: global_quant_config {weight, input_tensors}; layer_quant_config (shell
// pattern -> the same) comes before it; exclude: names or "re:" expressions; export must be there.
// An FP8 cache: layers of export.kv_cache_group ("*k_proj") with output_tensors, or
// kv_cache_quant_config; scales <k_proj>.output_scale.
// Worked spec: {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": false} is one scale.
// Source: vLLM quantization/quark (2026-08), Quark 0.13 documents; no file of the tool was at hand.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kQuark;
}
