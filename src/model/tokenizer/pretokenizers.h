// The pre-tokenizers that GGUF has names for (tokenizer.ggml.pre): how text is cut into words
// before byte-level BPE.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantlane {

// Facts: the patterns are those of the models' published tokenizer.json files; names and flags are
// llama.cpp's (src/llama-vocab.cpp).
struct PreTokenizerRow {
  std::string_view name;
  // Applied one after another, each refining the parts that the former left (Regex::refine).
  std::vector<std::string_view> patterns;
  bool ignore_merges = false;
  bool add_bos = false;  // llama.cpp's default where tokenizer.ggml.add_bos_token is absent
  bool nfc = false;      // the models' tokenizer.json normalizes; llama.cpp does not
};

// A name may have several rows: the first is the one that is run, the others are other spellings to
// be recognised.
std::span<const PreTokenizerRow> pre_tokenizer_table();
// The first row of that name, or nullptr.
const PreTokenizerRow* find_pre_tokenizer(std::string_view name);
// Of the rows with exactly these patterns, the first that agrees best: in ignore_merges, then in
// nfc. nullptr when no row has the patterns.
const PreTokenizerRow* recognise_pre_tokenizer(const std::vector<std::string>& patterns,
                                               bool ignore_merges, bool nfc);
// "default, deepseek-coder, …" for error messages.
std::string pre_tokenizer_names();

// What tokenizer.json's built-in pre-tokenizers stand for.
extern const std::string_view kByteLevelPattern;     // ByteLevel with use_regex (GPT-2)
extern const std::string_view kDigitPattern;         // Digits, individual
extern const std::string_view kDigitsPattern;        // Digits, contiguous
extern const std::string_view kPunctuationPattern;   // Punctuation, Isolated
extern const std::string_view kPunctuationsPattern;  // Punctuation, Contiguous

}  // namespace quantlane
