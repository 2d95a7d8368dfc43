// Hugging Face tokenizer.json.
#pragma once
#include <string>
#include <vector>

#include "core/json.h"
#include "model/tokenizer/tokenizer.h"
#include "quantlane/result.h"

namespace quantlane {

// The whole document. Only BPE models; kUnsupported names the component that this version cannot
// run, kCorrupt the entry that contradicts the format. Special ids come from the post-processor and
// model.unk_token only; the caller adds those of the configuration files.
Result<TokenizerSpec> parse_tokenizer_json(const Json& document, const std::string& origin);

// What the normalizer and the pre-tokenizer of a tokenizer.json do, in the terms of TokenizerSpec.
struct TextPipeline {
  bool byte_level = false;    // a ByteLevel pre-tokenizer
  bool space_marker = false;  // spaces become U+2581
  bool nfc = false;
  bool space_prefix = false, prefix_unless_space = false, prefix_first_only = false;
  bool cuts_at_spaces = false;
  std::vector<std::string> patterns;  // cuts, one after another
};
Result<TextPipeline> parse_text_pipeline(const Json& normalizer, const Json& pre_tokenizer,
                                         const std::string& origin);

// "<|...|>" and a few others: tokens that are control tokens even where a tokenizer.json does not
// mark them as special (llama.cpp's converter does the same).
bool looks_like_control(std::string_view token);
// The value of "<0x0A>" spellings, -1 for anything else.
int byte_token_value(std::string_view token);

}  // namespace quantlane
