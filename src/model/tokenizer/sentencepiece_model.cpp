#include "model/tokenizer/sentencepiece_model.h"

#include <bit>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "core/check.h"
#include "model/tokenizer/unicode.h"

namespace quantlane {
namespace {

// One field of a protocol buffer message. `bytes` for wire type 2, `number` for the others.
struct Field {
  std::uint64_t number_of_field = 0;
  int wire_type = 0;
  std::uint64_t number = 0;
  std::string_view bytes;
};

// Walks the fields of one message; stops at the first thing that is no field.
class Message {
 public:
  explicit Message(std::string_view bytes) : bytes_(bytes) {}

  // The next field; nullopt at the end and at an error.
  std::optional<Field> next() {
    if (at_ == bytes_.size()) return std::nullopt;
    Field field;
    std::uint64_t tag = 0;
    if (!read_varint(tag)) return broken();
    field.number_of_field = tag >> 3U;
    field.wire_type = static_cast<int>(tag & 7U);
    std::uint64_t size = 0;
    switch (field.wire_type) {
      case 0:
        return read_varint(field.number) ? std::optional(field) : broken();
      case 1:
        return read_fixed(8, field.number) ? std::optional(field) : broken();
      case 5:
        return read_fixed(4, field.number) ? std::optional(field) : broken();
      case 2:
        if (!read_varint(size) || size > bytes_.size() - at_) return broken();
        field.bytes = bytes_.substr(at_, static_cast<std::size_t>(size));
        at_ += static_cast<std::size_t>(size);
        return field;
      default:
        return broken();
    }
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t position() const { return at_; }

 private:
  std::optional<Field> broken() {
    ok_ = false;
    return std::nullopt;
  }
  bool read_varint(std::uint64_t& value) {
    value = 0;
    for (unsigned int shift = 0; shift < 64 && at_ < bytes_.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool read_fixed(std::size_t size, std::uint64_t& value) {
    if (size > bytes_.size() - at_) return false;
    for (std::size_t i = 0; i < size; ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes_[at_ + i])) << (8 * i);
    }
    at_ += size;
    return true;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

std::int64_t as_int32(std::uint64_t varint) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(varint));
}

// TrainerSpec and NormalizerSpec, as far as encoding needs them; defaults are those of the format.
struct Settings {
  std::uint64_t model_type = 1;  // 1 unigram, 2 BPE, 3 word, 4 char
  std::string_view character_map;
  bool add_space_prefix = true;
  bool escape_spaces = true;
  bool spaces_as_suffix = false;
};

bool read_piece(std::string_view bytes, TokenizerSpec& spec) {
  Message message(bytes);
  std::string_view piece;
  float score = 0;
  std::uint64_t kind = 1;
  while (const auto field = message.next()) {
    if (field->number_of_field == 1 && field->wire_type == 2) piece = field->bytes;
    if (field->number_of_field == 2 && field->wire_type == 5) {
      score = std::bit_cast<float>(static_cast<std::uint32_t>(field->number));
    }
    if (field->number_of_field == 3 && field->wire_type == 0) kind = field->number;
  }
  if (!message.ok() || kind < 1 || kind > 6 || !is_valid_utf8(piece)) return false;
  spec.tokens.emplace_back(piece);
  spec.scores.push_back(score);
  spec.kinds.push_back(static_cast<TokenKind>(kind));
  return true;
}

bool read_trainer(std::string_view bytes, Settings& settings, TokenizerSpec& spec) {
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->wire_type != 0) continue;
    switch (field->number_of_field) {
      case 3:
        settings.model_type = field->number;
        break;
      case 24:
        settings.spaces_as_suffix = field->number != 0;
        break;
      case 40:
        spec.unknown_id = as_int32(field->number);
        break;
      case 41:
        spec.bos_id = as_int32(field->number);
        break;
      case 42:
        spec.eos_id = as_int32(field->number);
        break;
      case 43:
        spec.padding_id = as_int32(field->number);
        break;
      default:
        break;
    }
  }
  return message.ok();
}

bool read_normalizer(std::string_view bytes, Settings& settings) {
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number_of_field == 2) settings.character_map = field->bytes;
    if (field->number_of_field == 3) settings.add_space_prefix = field->number != 0;
    if (field->number_of_field == 5) settings.escape_spaces = field->number != 0;
  }
  return message.ok();
}

Result<void> check_supported(const Settings& settings, const std::string& origin) {
  const auto refuse = [&origin](std::string of, std::string expected, std::string found) {
    return fail(unsupported("reading a SentencePiece model")
                    .in(origin)
                    .of(std::move(of))
                    .expects(std::move(expected))
                    .got(std::move(found)));
  };
  constexpr std::string_view kTypes[] = {"0", "unigram", "BPE", "word", "char"};
  if (settings.model_type != 2) {
    return refuse("model_type", "BPE",
                  settings.model_type < 5 ? std::string(kTypes[settings.model_type])
                                          : std::to_string(settings.model_type));
  }
  if (!settings.character_map.empty()) {
    return refuse("normalizer", "identity", "a precompiled character map");
  }
  if (!settings.escape_spaces || settings.spaces_as_suffix) {
    return refuse("white space", "spaces as U+2581 before words", "another treatment");
  }
  return {};
}

}  // namespace

Result<TokenizerSpec> parse_sentencepiece_model(std::string_view bytes, const std::string& origin) {
  TokenizerSpec spec;
  spec.model = "llama";
  spec.unknown_id = 0;
  spec.bos_id = 1;
  spec.eos_id = 2;
  Settings settings;
  Message message(bytes);
  bool ok = true;
  while (ok) {
    const auto field = message.next();
    if (!field) break;
    if (field->wire_type != 2) continue;
    if (field->number_of_field == 1) ok = read_piece(field->bytes, spec);
    if (field->number_of_field == 2) ok = read_trainer(field->bytes, settings, spec);
    if (field->number_of_field == 3) ok = read_normalizer(field->bytes, settings);
  }
  if (!ok || !message.ok() || spec.tokens.empty()) {
    return fail(corrupt("reading a SentencePiece model")
                    .in(origin)
                    .at(message.position())
                    .expects("a protocol buffer with pieces (UTF-8, a score, a type from 1 to 6)")
                    .got(spec.tokens.empty()
                             ? "no piece"
                             : fmt::format("broken fields after {} pieces", spec.tokens.size())));
  }
  QUANTLANE_TRY_VOID(check_supported(settings, origin));
  const auto count = static_cast<std::int64_t>(spec.tokens.size());
  for (std::int64_t* id : {&spec.bos_id, &spec.eos_id, &spec.unknown_id, &spec.padding_id}) {
    if (*id < -1 || *id >= count) *id = -1;
  }
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    std::string& token = spec.tokens[id];
    if (spec.kinds[id] != TokenKind::kUserDefined) continue;
    // Such tokens are found in the text before spaces become U+2581.
    for (std::size_t at = 0; (at = token.find("\xE2\x96\x81", at)) != std::string::npos; ++at) {
      token.replace(at, 3, 1, ' ');
    }
  }
  spec.add_bos = spec.bos_id >= 0;
  spec.add_space_prefix = settings.add_space_prefix;
  return spec;
}

}  // namespace quantlane
