// SentencePiece's tokenizer.model: a protocol buffer (ModelProto of sentencepiece_model.proto).
#pragma once
#include <string>
#include <string_view>

#include "model/tokenizer/tokenizer.h"
#include "quantlane/result.h"

namespace quantlane {

// Only BPE models with the identity normalizer; kUnsupported names the type. add_bos is on, as the
// programs that use such files have it.
Result<TokenizerSpec> parse_sentencepiece_model(std::string_view bytes, const std::string& origin);
// The same format from a "llama" spec with scores. The token unknown_id gets the kind kUnknown, and
// others of that kind become control tokens, because SentencePiece wants exactly one.
std::string sentencepiece_model_bytes(const TokenizerSpec& spec);

}  // namespace quantlane
