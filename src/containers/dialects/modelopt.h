// NVIDIA ModelOpt's Hugging Face export: what vLLM, SGLang and TensorRT-LLM load.
//
// Tensors of one quantized Linear [N, K] by algorithm (suffix after the module name):
//   FP8                        weight F8_E4M3 [N, K]; weight_scale, input_scale F32 []
//   FP8_PER_CHANNEL_PER_TOKEN  weight; weight_scale F32 [N]
//   FP8_PB_WO                  weight; weight_scale F32 per 128 x 128 block; inputs are not rounded
//   NVFP4, W4A16_NVFP4         weight U8 [N, K/2], even columns in the low nibbles; weight_scale
//                              F8_E4M3 [N, K/16]; weight_scale_2 F32 [], a factor; NVFP4 also
//                              input_scale F32 [], a factor
//   MXFP8                      weight; weight_scale U8 [N, K/32] (E8M0)
// quantization_config: quant_algo, ignore (shell patterns); hf_quant_config.json: quantization with
// quant_algo, exclude_modules, and for MIXED_PRECISION quantized_layers (module -> quant_algo).
// Algorithms with pre_quant_scale (AWQ, SmoothQuant) are not read.
// Source: ModelOpt 0.47 (torch/export), vLLM modelopt.py.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane {
extern const Dialect kModelOpt;
}
