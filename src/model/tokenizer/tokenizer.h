// Text to token ids and back. One TokenizerSpec (plain data) is read from any source; one engine
// per algorithm runs it.
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

enum class TokenKind : std::uint8_t {
  kNormal = 1,
  kUnknown,
  kControl,
  kUserDefined,
  kUnused,
  kByte
};

// Everything a tokenizer needs, in the terms of GGUF's tokenizer.ggml.* keys. Fields marked (HF)
// are facts of tokenizer.json that GGUF has no key for; they are at their defaults after a GGUF
// read.
struct TokenizerSpec {
  std::string model;          // "gpt2" (byte-level BPE), "llama" (SentencePiece-style BPE)
  std::string pre_tokenizer;  // "gpt-2", "llama-bpe", "qwen2", "smollm", "default", …; BPE only
  // id -> piece as stored: the byte-level alphabet for normal tokens of "gpt2", U+2581 for spaces
  // in normal tokens of "llama", the text itself for control and user-defined tokens.
  std::vector<std::string> tokens;
  std::vector<float> scores;  // "llama" only; empty or one per token
  std::vector<TokenKind> kinds;
  // "left right", best first. "gpt2" always; "llama" ranks by merges instead of scores where they
  // are given (Gemma and Llama 2 in tokenizer.json).
  std::vector<std::string> merges;
  std::int64_t bos_id = -1, eos_id = -1, unknown_id = -1, padding_id = -1;
  // Ids that end a generation: eos_id, an end-of-turn token, generation_config.json's list.
  std::vector<std::int64_t> stop_ids;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
  bool ignore_merges = false;  // whole-word lookup before merging (Llama 3)
  std::string chat_template;   // Jinja source, may be empty

  bool nfc = false;                  // text is put into Normalization Form C first
  bool prefix_unless_space = false;  // (HF) the space prefix is left out before a space
  bool prefix_first_only = false;    // (HF) the space prefix is added at the start of the text only
  bool cuts_at_spaces = false;       // (HF) "llama" only: no merge crosses the start of a U+2581
  // (HF) Regular expressions of a tokenizer.json pre-tokenizer that has no GGUF name; pre_tokenizer
  // is empty then, and such a spec cannot be written as GGUF.
  std::vector<std::string> split_patterns;
  // (HF) Added tokens that swallow the white space before or after them.
  std::vector<std::int32_t> strip_left, strip_right;
};

// Thread-safe after creation.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Ids of `text` (below 2 GiB; bytes that are not UTF-8 are read as U+FFFD). User-defined tokens
  // are always recognised; `parse_special`: control tokens spelled in the text become their ids
  // too. No BOS/EOS is added here.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text,
                                                         bool parse_special) const = 0;
  // Bytes of the ids, exactly as they join: decode(a + b) == decode(a) + decode(b), so it may end
  // inside a UTF-8 sequence and starts with the space that add_space_prefix put there. Control
  // tokens are spelled out; ids outside the vocabulary and unused ones give nothing.
  [[nodiscard]] virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  [[nodiscard]] virtual const TokenizerSpec& spec() const = 0;

  // decode() of ids that start a text: without the space that add_space_prefix put before it.
  [[nodiscard]] std::string decode_text(std::span<const std::int32_t> ids) const;
};

// From a Hugging Face folder: tokenizer.json, else tokenizer.model; chat template and special ids
// from tokenizer_config.json / chat_template.jinja / config.json where present. The vocabulary is
// padded with unused tokens to config.json's vocab_size.
Result<TokenizerSpec> read_tokenizer_folder(const std::filesystem::path& folder);
// From GGUF metadata, and into it (with tokenizer.chat_template).
Result<TokenizerSpec> read_tokenizer_gguf(const Metadata& metadata, const std::string& origin);
// kUnsupported where the pre-tokenizer has no GGUF name; `metadata` is unchanged then.
Result<void> write_tokenizer_gguf(const TokenizerSpec& spec, Metadata& metadata);
// kUnsupported names the model or pre-tokenizer and lists the supported ones; kCorrupt says which
// token, merge or id contradicts the rest.
Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerSpec spec);

}  // namespace quantlane
