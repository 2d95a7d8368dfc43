#include "model/tokenizer/pretokenizers.h"

#include <algorithm>

namespace quantlane {

constinit const std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constinit const std::string_view kDigitPattern = R"(\p{N})";
constinit const std::string_view kDigitsPattern = R"(\p{N}+)";
constinit const std::string_view kPunctuationPattern = R"([\p{P}$+<=>^`|~])";
constinit const std::string_view kPunctuationsPattern = R"([\p{P}$+<=>^`|~]+)";

namespace {

// What several families share.
constexpr std::string_view kThreeDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
// Two spellings: tokenizer.json nests a class, which PCRE2 reads differently.
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view kBloomNested = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";
constexpr std::string_view kDeepSeekCjk = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kDeepSeek3 = R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^)"
                                        "\r\n"
                                        R"(\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[)"
                                        "\r\n"
                                        R"(]*|\s*[)"
                                        "\r\n"
                                        R"(]+|\s+(?!\S)|\s+)";
// Letters of scripts that have case.
constexpr std::string_view kDeepSeekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepSeekPunctuation = "\\s?[!-/:-~！-／：-～‘-‟　-。]+";
constexpr std::string_view kDeepSeekScripts = "[一-龥ࠀ-一가-퟿]+";

std::vector<PreTokenizerRow> families() {
  return {
      // Most used first: recognition takes the first row that fits.
      {.name = "gpt-2", .patterns = {kByteLevelPattern}},
      {.name = "smollm", .patterns = {kDigitPattern, kByteLevelPattern}},
      {.name = "llama-bpe", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "qwen2", .patterns = {kQwen2}, .nfc = true},
      {.name = "qwen35", .patterns = {kQwen35}, .nfc = true},
      {.name = "dbrx", .patterns = {kLlama3}},
      {.name = "gpt-4o", .patterns = {kGpt4o}},
      {.name = "tekken", .patterns = {kTekken}, .ignore_merges = true, .add_bos = true},
      {.name = "deepseek-v3", .patterns = {"\\p{N}{1,3}", kDeepSeekCjk, kDeepSeek3}},
      {.name = "deepseek-llm",
       .patterns = {"[\r\n]", kDeepSeekLetters, kDeepSeekPunctuation, "\\s+$", kDeepSeekScripts,
                    kDigitsPattern}},
      {.name = "deepseek-llm",
       .patterns = {"[\r\n]", kDeepSeekLetters, kDeepSeekPunctuation, "\\s+$", kDeepSeekScripts,
                    kDigitPattern}},
      {.name = "deepseek-coder",
       .patterns = {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kDeepSeekScripts, kDigitPattern}},
      {.name = "falcon", .patterns = {kPunctuationsPattern, kByteLevelPattern, kThreeDigits}},
      {.name = "falcon",
       .patterns = {kPunctuationsPattern, kByteLevelPattern, kDigitsPattern, kThreeDigits}},
      {.name = "bailingmoe", .patterns = {kBailing}},
      {.name = "seed-coder", .patterns = {kSeedCoder}},
      {.name = "bloom", .patterns = {kBloom}},
      {.name = "bloom", .patterns = {kBloomNested}},
      {.name = "default",
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)", kByteLevelPattern, kDigitsPattern, kThreeDigits}},
      {.name = "viking", .patterns = {kBloom, kDigitPattern}},
  };
}

// Other names of llama.cpp for the cuts of a family above; nfc is the name's own.
struct Alias {
  std::string_view name, family;
  bool nfc = false;
};
constexpr Alias kAliases[] = {
    {"mpt", "gpt-2", true},
    {"olmo", "gpt-2", true},
    {"phi-2", "gpt-2"},
    {"gigachat", "gpt-2"},
    {"a.x-4.0", "gpt-2"},
    {"mellum", "gpt-2"},
    {"jais", "gpt-2"},
    {"trillion", "gpt-2"},
    {"granite-docling", "gpt-2"},
    {"exaone4", "gpt-2", true},
    {"starcoder", "smollm"},
    {"refact", "smollm"},
    {"command-r", "smollm", true},
    {"codeshell", "smollm"},
    {"exaone", "smollm", true},
    {"minerva-7b", "smollm"},
    {"mellum2", "smollm"},
    {"llama3", "llama-bpe"},
    {"llama-v3", "llama-bpe"},
    {"falcon3", "llama-bpe"},
    {"falcon-h1", "llama-bpe"},
    {"pixtral", "llama-bpe"},
    {"midm-2.0", "llama-bpe"},
    {"lfm2", "llama-bpe"},
    {"smaug-bpe", "dbrx"},
    {"chatglm-bpe", "dbrx"},
    {"glm4", "dbrx"},
    {"stablelm2", "qwen2", true},
    {"deepseek-r1-qwen", "qwen2", true},
    {"megrez", "qwen2", true},
    {"hunyuan", "qwen2"},
    {"grok-2", "qwen2"},
    {"solar-open", "qwen2"},
    {"llama4", "gpt-4o"},
    {"kanana2", "gpt-4o"},
    {"minimax-m2", "gpt-4o"},
    {"hunyuan-dense", "deepseek-v3"},
    {"joyai-llm", "deepseek-v3"},
    {"bailingmoe2", "bailingmoe"},
    {"llada-moe", "bailingmoe"},
    {"poro-chat", "bloom"},
    {"gpt3-finnish", "bloom"},
};

const std::vector<PreTokenizerRow>& rows() {
  static const std::vector<PreTokenizerRow> table = [] {
    std::vector<PreTokenizerRow> all = families();
    for (const Alias& alias : kAliases) {
      PreTokenizerRow row = *std::ranges::find(all, alias.family, &PreTokenizerRow::name);
      row.name = alias.name;
      row.nfc = alias.nfc;
      all.push_back(std::move(row));
    }
    return all;
  }();
  return table;
}

}  // namespace

std::span<const PreTokenizerRow> pre_tokenizer_table() { return rows(); }

const PreTokenizerRow* find_pre_tokenizer(std::string_view name) {
  const auto row = std::ranges::find(rows(), name, &PreTokenizerRow::name);
  return row == rows().end() ? nullptr : &*row;
}

const PreTokenizerRow* recognise_pre_tokenizer(const std::vector<std::string>& patterns,
                                               bool ignore_merges, bool nfc) {
  const PreTokenizerRow* best = nullptr;
  int most = -1;
  for (const PreTokenizerRow& row : rows()) {
    if (!std::ranges::equal(row.patterns, patterns)) continue;
    const int agreement = (row.ignore_merges == ignore_merges ? 2 : 0) + (row.nfc == nfc ? 1 : 0);
    if (agreement > most) best = &row, most = agreement;
  }
  return best;
}

std::string pre_tokenizer_names() {
  std::vector<std::string_view> names;
  for (const PreTokenizerRow& row : rows()) names.push_back(row.name);
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  std::string list;
  for (const std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

}  // namespace quantlane
