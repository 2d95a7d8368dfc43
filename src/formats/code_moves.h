// Codes of a quantized matrix as ggml blocks, without choosing any code anew: symmetric integers
// become q4_0, q5_0 or q8_0, integers with zero points q4_1 or q5_1, whose scales are rounded to
// f16 (what that costs is left to be measured); MXFP4 and NVFP4 keep every bit. Blocks have no room
// for a scale of the whole tensor: it stays outside.
#pragma once
#include <cstddef>
#include <cstdint>

#include "formats/block_format.h"
#include "formats/quant_tensor.h"

namespace quantlane {

// Can blocks of `target` hold codes of `scheme` in rows of `cols` values? Files with activation
// order are asked tensor by tensor: groups_fit_blocks().
bool can_move_codes(const Scheme& scheme, std::int64_t cols, const BlockFormat& target);

// The format of the fewest bits that can hold them; nullptr where none can.
const BlockFormat* block_for_codes(const Scheme& scheme, std::int64_t cols);

// False where the columns of one block have different scales (activation order).
bool groups_fit_blocks(const QuantTensor& tensor, const BlockFormat& target);

// One row as blocks [cols / target.block_values]; can_move_codes() and groups_fit_blocks() hold.
void move_codes(const QuantTensor& tensor, std::int64_t row, const BlockFormat& target,
                std::byte* blocks);

}  // namespace quantlane
