// The MXFP4 experts of gpt-oss, read only.
//
// Tensors of a layer's experts (prefix "<block>.mlp.experts."), E experts, H hidden, I inner:
//   gate_up_proj_blocks U8 [E, 2I, H/32, 16], gate_up_proj_scales U8 [E, 2I, H/32] (E8M0)
//   down_proj_blocks    U8 [E, H, I/32, 16],  down_proj_scales    U8 [E, H, I/32]
// Rows 2i of gate_up are gate, rows 2i + 1 up; the even column of a byte is its low nibble. A
// module of this dialect is one Linear of one expert: "<block>.mlp.experts.3.gate_proj" [I, H].
// Worked byte: 0x21 is (0.5, 1.0) times 2^(scale - 127).
// quantization_config: quant_method "mxfp4", modules_to_not_convert; everything else is plain.
// Source: gpt-oss torch/weights.py; OCP Microscaling Formats 1.0.
#pragma once
#include "containers/dialects/packed_linears.h"

namespace quantlane {
extern const Dialect kGptOssMxfp4;
// packed_linears() of this dialect.
std::optional<std::vector<PackedLinear>> gpt_oss_linears(const TensorInfo& tensor);
}  // namespace quantlane
