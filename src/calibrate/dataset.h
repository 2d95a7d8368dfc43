// Text as chunks of token ids, the unit of calibration and evaluation.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

struct TokenChunks {
  std::int64_t chunk = 0;            // tokens per chunk
  std::vector<std::int32_t> tokens;  // whole chunks, one after another
  [[nodiscard]] std::int64_t count() const {
    return chunk == 0 ? 0 : static_cast<std::int64_t>(tokens.size()) / chunk;
  }
  [[nodiscard]] std::span<const std::int32_t> operator[](std::int64_t index) const {
    return std::span(tokens).subspan(static_cast<std::size_t>(index * chunk),
                                     static_cast<std::size_t>(chunk));
  }
  // Of all of it.
  [[nodiscard]] std::string hash() const;
};

// kUsage when chunks of `chunk` tokens are longer than the model's context. `attempted`: for the
// error.
Result<void> check_context(const Checkpoint& checkpoint, std::int64_t chunk, std::string attempted);

// `chunk`, or the model's context where that is shorter.
std::int64_t chunk_within_context(const Checkpoint& checkpoint, std::int64_t chunk);

// Tokenizes `text` (valid UTF-8; `origin` names it in errors) and cuts it into chunks of `chunk`
// tokens; at most `limit` chunks (0 = all), a last partial chunk is left out. Models that want a
// BOS get it before the text, and in place of the first token of each further chunk (the protocol
// of llama-perplexity and llama-imatrix).
// kInvalidArgument when the text does not fill one chunk; `option` of the command sets how long
// they are, empty where none does.
Result<TokenChunks> make_chunks(const Checkpoint& checkpoint, std::string_view text,
                                std::string_view origin, std::int64_t chunk, std::int64_t limit,
                                std::string_view option = "");

}  // namespace quantlane
