// Any bytes as a tokenizer.json and as a SentencePiece model: an error that says what and where, or
// a tokenizer whose ids are in its vocabulary, that decodes what it encoded, and that is read back
// from the GGUF metadata and the SentencePiece model written from it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/check.h"
#include "core/json.h"
#include "model/tokenizer/sentencepiece_model.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"

namespace {

using quantlane::Result;
using quantlane::TokenizerSpec;

constexpr std::string_view kText =
    "Hello  world's 42\n\tab a<s>x</s> \xC3\xA9\xE2\x96\x81\xF0\x9F\xA6\x99 \xFF<|end|>";

void check_error(const quantlane::Error& error) {
  QUANTLANE_CHECK(!error.attempted.empty() && !error.message().empty());
}

void check_encoding(const quantlane::Tokenizer& tokenizer) {
  const auto count = static_cast<std::int64_t>(tokenizer.spec().tokens.size());
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.encode(kText, parse_special);
    for (const std::int32_t id : ids) QUANTLANE_CHECK(id >= 0 && id < count);
    static_cast<void>(tokenizer.decode_text(ids));
  }
}

void check_spec(Result<TokenizerSpec> spec) {
  if (!spec) return check_error(spec.error());
  const auto tokenizer = quantlane::make_tokenizer(std::move(*spec));
  if (!tokenizer) return check_error(tokenizer.error());
  check_encoding(**tokenizer);
  const TokenizerSpec& made = (*tokenizer)->spec();
  quantlane::Metadata metadata;
  if (quantlane::write_tokenizer_gguf(made, metadata)) {
    const auto back = quantlane::read_tokenizer_gguf(metadata, "written");
    QUANTLANE_CHECK(back.has_value() && back->tokens == made.tokens && back->kinds == made.kinds);
    const auto again = quantlane::make_tokenizer(*back);
    QUANTLANE_CHECK(again.has_value());
    check_encoding(**again);
  }
  if (made.model == "llama" && !made.scores.empty()) {
    const auto back =
        quantlane::parse_sentencepiece_model(quantlane::sentencepiece_model_bytes(made), "written");
    QUANTLANE_CHECK(back.has_value() && back->scores.size() == made.scores.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto document = quantlane::Json::parse(bytes, "input")) {
    check_spec(quantlane::parse_tokenizer_json(*document, "input"));
  }
  check_spec(quantlane::parse_sentencepiece_model(bytes, "input"));
  return 0;
}
