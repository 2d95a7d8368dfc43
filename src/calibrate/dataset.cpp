#include "calibrate/dataset.h"

#include <algorithm>
#include <span>
#include <string>

#include "core/check.h"
#include "core/file.h"
#include "core/hash.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane {
namespace {

// No tokenizer here gives more than one token per byte or needs more than this many bytes per token
// on ordinary text; cutting early keeps a 1 GB file from being tokenized for 40 chunks.
constexpr std::size_t kBytesPerToken = 12;

std::string_view cut_at_character(std::string_view text, std::size_t size) {
  if (size >= text.size()) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  return text.substr(0, size);
}

}  // namespace

std::string TokenChunks::hash() const {
  ContentHash hash;
  hash.add(std::to_string(chunk));
  hash.add(std::as_bytes(std::span(tokens)));
  return hash.hex();
}

Result<void> check_context(const Checkpoint& checkpoint, std::int64_t chunk,
                           std::string attempted) {
  const std::int64_t context = checkpoint.graph()->config.context_length;
  if (context <= 0 || chunk <= context) return {};
  return fail(usage_error(std::move(attempted))
                  .expects("--chunk within " + std::to_string(context) +
                           " tokens, the context of the model")
                  .got(std::to_string(chunk))
                  .advise("--chunk " + std::to_string(context)));
}

std::int64_t chunk_within_context(const Checkpoint& checkpoint, std::int64_t chunk) {
  const std::int64_t context = checkpoint.graph()->config.context_length;
  return context > 0 ? std::min(chunk, context) : chunk;
}

Result<TokenChunks> make_chunks(const Checkpoint& checkpoint, std::string_view text,
                                std::string_view origin, std::int64_t chunk, std::int64_t limit,
                                std::string_view option) {
  if (chunk < 2) {
    return fail(usage_error("cutting text into chunks")
                    .expects("at least 2 tokens per chunk")
                    .got(std::to_string(chunk)));
  }
  QUANTLANE_TRY_VOID(check_utf8(text, std::string(origin)));
  QUANTLANE_TRY(const auto tokenizer, checkpoint.tokenizer());
  TokenChunks chunks;
  chunks.chunk = chunk;
  const TokenizerSpec& spec = tokenizer->spec();
  const bool bos = spec.add_bos && spec.bos_id >= 0;
  const auto wanted = limit > 0 ? static_cast<std::size_t>(limit * chunk) : text.size();
  for (std::size_t bytes = wanted * kBytesPerToken;; bytes *= 2) {
    const std::string_view part = cut_at_character(text, bytes);
    chunks.tokens = tokenizer->encode(part, false);
    if (chunks.tokens.size() >= wanted || part.size() == text.size()) break;
  }
  if (bos && !text.empty()) {
    chunks.tokens.insert(chunks.tokens.begin(), static_cast<std::int32_t>(spec.bos_id));
  }
  const auto whole =
      static_cast<std::size_t>(chunk) * (chunks.tokens.size() / static_cast<std::size_t>(chunk));
  if (whole == 0) {
    return fail(invalid("cutting text into chunks")
                    .in(std::string(origin))
                    .expects("at least " + std::to_string(chunk) + " tokens")
                    .got(std::to_string(chunks.tokens.size()) + " tokens")
                    .advise("give a longer text" +
                            (option.empty() ? "" : " or a smaller " + std::string(option))));
  }
  chunks.tokens.resize(limit > 0 ? std::min(whole, wanted) : whole);
  if (bos) {
    for (std::size_t i = 0; i < chunks.tokens.size(); i += static_cast<std::size_t>(chunk)) {
      chunks.tokens[i] = static_cast<std::int32_t>(spec.bos_id);
    }
  }
  return chunks;
}

}  // namespace quantlane
