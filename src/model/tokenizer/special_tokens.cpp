#include "model/tokenizer/special_tokens.h"

#include <algorithm>

namespace quantlane {
namespace {

// End of a turn or of a message, in the families that have such a token.
constexpr std::string_view kTurnEnds[] = {
    "<|im_end|>",      "<|eot_id|>", "<|end|>",    "<end_of_turn>",      "<turn|>",
    "<|eom_id|>",      "<EOT>",      "[EOT]",      "<|end_of_text|>",    "<|endoftext|>",
    "<|end_of_turn|>", "</s>",       "<|return|>", "<end_of_utterance>", "<｜end▁of▁sentence｜>",
};

}  // namespace

void add_stop_id(TokenizerSpec& spec, std::int64_t id) {
  if (id >= 0 && std::ranges::find(spec.stop_ids, id) == spec.stop_ids.end()) {
    spec.stop_ids.push_back(id);
  }
}

void add_template_stop_ids(TokenizerSpec& spec) {
  for (const std::string_view name : kTurnEnds) {
    if (spec.chat_template.find(name) == std::string::npos) continue;
    // In the harmony format "<|end|>" ends a message, and "<|return|>" the turn.
    if (name == "<|end|>" && spec.chat_template.find("<|return|>") != std::string::npos) continue;
    const auto found = std::ranges::find(spec.tokens, name);
    if (found != spec.tokens.end()) add_stop_id(spec, found - spec.tokens.begin());
  }
}

std::int64_t turn_end_id(const TokenizerSpec& spec) {
  for (const std::int64_t id : spec.stop_ids) {
    if (id == spec.eos_id) continue;
    const std::string& token = spec.tokens[static_cast<std::size_t>(id)];
    if (std::ranges::find(kTurnEnds, token) != std::end(kTurnEnds)) return id;
  }
  return -1;
}

}  // namespace quantlane
