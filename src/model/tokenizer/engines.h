// The algorithms behind make_tokenizer, one .cpp each. `spec` has passed check_tokenizer_spec.
#pragma once
#include <memory>

#include "model/tokenizer/merge_table.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane {

// Sizes of the arrays, ranges of the ids, duplicate pieces, finite scores.
Result<void> check_tokenizer_spec(const TokenizerSpec& spec);
// Pieces to ids, normal tokens first where a piece is spelled twice.
PieceIds piece_ids(const TokenizerSpec& spec);

// "gpt2": words of the pre-tokenizer, bytes merged by rank.
Result<std::unique_ptr<Tokenizer>> make_byte_level_bpe(TokenizerSpec spec);
// "llama" with scores: characters merged into the adjacent pair whose piece has the best score.
Result<std::unique_ptr<Tokenizer>> make_scored_bpe(TokenizerSpec spec);
// "llama" with merges: characters merged by rank.
Result<std::unique_ptr<Tokenizer>> make_ranked_bpe(TokenizerSpec spec);

}  // namespace quantlane
