// Writes a tokenizer as Hugging Face files, for checkpoints that come from GGUF.
#pragma once
#include <filesystem>

#include "model/tokenizer/tokenizer.h"
#include "quantlane/result.h"

namespace quantlane {

// tokenizer.json ("gpt2" models) or tokenizer.model (SentencePiece models) and
// tokenizer_config.json with the special tokens, the chat template and the model's longest context
// in tokens (0 = unknown). Reading the folder back
// gives the same ids. kUnsupported names the tokenizer model or pre-tokenizer that has no such
// spelling.
Result<void> write_tokenizer_folder(const TokenizerSpec& spec, std::int64_t context_length,
                                    const std::filesystem::path& folder);

}  // namespace quantlane
