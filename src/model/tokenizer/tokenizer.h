// Text to token ids and back. One TokenizerSpec (plain data) is read from any source; one engine per
// algorithm runs it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/metadata.h"
#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

enum class TokenKind : std::uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// Everything a tokenizer needs, in the terms of GGUF's tokenizer.ggml.* keys.
struct TokenizerSpec {
  std::string model;          // "gpt2" (byte-level BPE), "llama" (SentencePiece-style BPE with scores)
  std::string pre_tokenizer;  // "gpt-2", "llama-bpe", "qwen2", "smollm", "default", …; BPE only
  std::vector<std::string> tokens;  // id -> piece as stored (byte-level alphabet for "gpt2")
  std::vector<float> scores;        // "llama" only
  std::vector<TokenKind> kinds;
  std::vector<std::string> merges;  // "left right", best first; BPE only
  std::int64_t bos_id = -1, eos_id = -1, unknown_id = -1, padding_id = -1;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
  // Merge-ranked BPE over SentencePiece pieces (Gemma and Llama 2 in tokenizer.json) ranks by
  // `merges` instead of `scores` when merges are given.
  bool ignore_merges = false;  // whole-word lookup before merging (Llama 3)
  std::string chat_template;   // Jinja source, may be empty
};

// Thread-safe after creation.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Ids of `text` (valid UTF-8). `parse_special`: control tokens spelled in the text become their
  // ids. No BOS/EOS is added here.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text,
                                                         bool parse_special) const = 0;
  // Bytes of the ids, exactly as they join (may end inside a UTF-8 sequence).
  [[nodiscard]] virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  [[nodiscard]] virtual const TokenizerSpec& spec() const = 0;
};

// From a Hugging Face folder: tokenizer.json, else tokenizer.model; chat template and special ids
// from tokenizer_config.json / chat_template.jinja / config.json where present.
Result<TokenizerSpec> read_tokenizer_folder(const std::filesystem::path& folder);
// From GGUF metadata, and into it (with tokenizer.chat_template).
Result<TokenizerSpec> read_tokenizer_gguf(const Metadata& metadata, const std::string& origin);
void write_tokenizer_gguf(const TokenizerSpec& spec, Metadata& metadata);
// kUnsupported names the model or pre-tokenizer and lists the supported ones.
Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerSpec spec);

}  // namespace quantlane
