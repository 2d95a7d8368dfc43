// Tokens whose spelling says what they are for, where no file says it.
#pragma once
#include <cstdint>

#include "model/tokenizer/tokenizer.h"

namespace quantlane {

// Adds `id` to spec.stop_ids unless it is there already or negative.
void add_stop_id(TokenizerSpec& spec, std::int64_t id);
// Adds the end-of-turn tokens ("<|im_end|>", "<|eot_id|>", …) that the chat template writes.
void add_template_stop_ids(TokenizerSpec& spec);
// The first end-of-turn token among spec.stop_ids that is not eos_id, else -1.
std::int64_t turn_end_id(const TokenizerSpec& spec);

}  // namespace quantlane
