#include <bit>

#include "model/tokenizer/sentencepiece_model.h"

namespace quantlane {
namespace {

void append_varint(std::uint64_t value, std::string& bytes) {
  for (; value >= 0x80; value >>= 7U) bytes += static_cast<char>(value | 0x80U);
  bytes += static_cast<char>(value);
}

void append_number(std::uint64_t field, std::int64_t value, std::string& bytes) {
  append_varint(field << 3U, bytes);
  append_varint(static_cast<std::uint64_t>(value), bytes);
}

void append_bytes(std::uint64_t field, std::string_view value, std::string& bytes) {
  append_varint(field << 3U | 2U, bytes);
  append_varint(value.size(), bytes);
  bytes += value;
}

void append_float(std::uint64_t field, float value, std::string& bytes) {
  append_varint(field << 3U | 5U, bytes);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (unsigned int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift);
}

// SentencePiece wants exactly one unknown piece; converters have marked others so, and that one
// not.
TokenKind stored_kind(const TokenizerSpec& spec, std::size_t id) {
  if (static_cast<std::int64_t>(id) == spec.unknown_id) return TokenKind::kUnknown;
  return spec.kinds[id] == TokenKind::kUnknown ? TokenKind::kControl : spec.kinds[id];
}

std::string piece_bytes(const TokenizerSpec& spec, std::size_t id) {
  std::string text;
  for (const char byte : spec.tokens[id]) {
    if (byte == ' ' && spec.kinds[id] == TokenKind::kUserDefined) {
      text += "\xE2\x96\x81";
    } else {
      text += byte;
    }
  }
  std::string piece;
  append_bytes(1, text, piece);
  append_float(2, spec.scores.empty() ? 0.0F : spec.scores[id], piece);
  append_number(3, static_cast<std::int64_t>(stored_kind(spec, id)), piece);
  return piece;
}

}  // namespace

std::string sentencepiece_model_bytes(const TokenizerSpec& spec) {
  std::string model, trainer, normalizer;
  bool has_bytes = false;
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    append_bytes(1, piece_bytes(spec, id), model);
    has_bytes = has_bytes || spec.kinds[id] == TokenKind::kByte;
  }
  append_number(3, 2, trainer);  // BPE
  append_number(4, static_cast<std::int64_t>(spec.tokens.size()), trainer);
  append_number(35, has_bytes ? 1 : 0, trainer);
  append_number(40, spec.unknown_id, trainer);
  append_number(41, spec.bos_id, trainer);
  append_number(42, spec.eos_id, trainer);
  append_number(43, spec.padding_id, trainer);
  append_bytes(2, trainer, model);
  append_bytes(1, "identity", normalizer);
  append_number(3, spec.add_space_prefix ? 1 : 0, normalizer);
  append_number(4, 0, normalizer);  // extra white space stays
  append_number(5, 1, normalizer);  // spaces become U+2581
  append_bytes(3, normalizer, model);
  return model;
}

}  // namespace quantlane
