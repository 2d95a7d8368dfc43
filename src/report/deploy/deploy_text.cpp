#include "report/deploy/deploy_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace quantlane {
namespace {

bool is_plain_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./:=@%+,").find(c) != std::string_view::npos;
}

// A scalar that every YAML reader takes for this string: letters, digits and separators only, no
// word or number that has a meaning of its own.
bool is_plain_scalar(std::string_view text) {
  if (text.empty() || !((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z'))) {
    return false;
  }
  for (const std::string_view word :
       {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (std::ranges::equal(text, word, [](char a, char b) { return (a | 0x20) == b; }))
      return false;
  }
  return std::ranges::all_of(text, [](char c) {
    return is_plain_word_character(c) && c != ':' && c != '%' && c != '@' && c != ',' && c != '=';
  });
}

std::string scalar(const Json& value) {
  return value.is_string() && is_plain_scalar(value.string()) ? std::string(value.string())
                                                              : value.dump();
}

void append_block(const Json& value, std::size_t indent, std::string& text);

// What follows "key:" or "-": a scalar in the same line, or a block in the next ones.
void append_value(const Json& value, std::size_t indent, std::string& text) {
  const bool block = (value.is_object() && !value.members().empty()) ||
                     (value.is_array() && !value.items().empty());
  if (!block) {
    text += " " + scalar(value) + "\n";
    return;
  }
  text += "\n";
  append_block(value, indent, text);
}

void append_block(const Json& value, std::size_t indent, std::string& text) {
  const std::string blanks(indent, ' ');
  for (const auto& [key, member] : value.members()) {
    text += blanks + scalar(Json(key)) + ":";
    append_value(member, indent + 2, text);
  }
  for (const Json& item : value.items()) {
    if (!item.is_object() || item.members().empty()) {
      text += blanks + "-";
      append_value(item, indent + 2, text);
      continue;
    }
    // The first member of an object stands behind the dash.
    std::string inner;
    append_block(item, indent + 2, inner);
    text += blanks + "- " + inner.substr(indent + 2);
  }
}

}  // namespace

std::string shell_word(std::string_view text) {
  if (!text.empty() && std::ranges::all_of(text, is_plain_word_character)) return std::string(text);
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  return word + "'";
}

std::string ShellCommand::text() const {
  std::string script;
  for (const std::string& comment : comments) script += "# " + comment + "\n";
  script += "exec";
  for (const std::string& word : words) script += " " + shell_word(word);
  for (const auto& option : options) {
    script += " \\\n ";
    for (const std::string& word : option) script += " " + shell_word(word);
  }
  return script + " \\\n  \"$@\"\n";
}

std::string yaml_text(const Json& document) {
  std::string text;
  append_block(document, 0, text);
  return text;
}

Refusal needs_gguf(const Artefact& artefact, std::string_view product) {
  const std::string what = artefact.dialect.empty() ? "a folder of safetensors"
                                                    : "a folder quantized as " + artefact.dialect;
  return {.expected = fmt::format("a GGUF file, which is what {} loads", product),
          .found = what,
          .advice = "make one: quantlane quantize CKPT gguf:q4_k_m -o model.gguf"};
}

std::string model_slug(std::string_view name) {
  std::string slug;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool kept =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    slug += upper ? static_cast<char>(c | 0x20) : kept ? c : '-';
  }
  while (slug.starts_with('-') || slug.starts_with('.')) slug.erase(0, 1);
  return slug.empty() ? "model" : slug;
}

void note_young_types(const Artefact& artefact, std::vector<std::string>& notices) {
  // When llama.cpp began to read them.
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kSince = {
      {{"q1_0", "April 2026"}, {"q2_0", "July 2026"}}};
  for (const auto& [type, since] : kSince) {
    if (std::ranges::find(artefact.types, type) == artefact.types.end()) continue;
    notices.push_back(fmt::format("tensors in {} need a llama.cpp of {} or later", type, since));
  }
}

std::string kv_note(const Artefact& artefact, const DeployWishes& wishes) {
  const auto requests = static_cast<std::uint64_t>(std::max<std::int64_t>(wishes.concurrency, 1));
  const std::uint64_t bytes =
      artefact.kv_bytes_per_token * static_cast<std::uint64_t>(wishes.context) * requests;
  return fmt::format(
      "{:.3g} GB of keys and values (16 bit) for {} of {} tokens", static_cast<double>(bytes) / 1e9,
      requests == 1 ? "1 request" : fmt::format("{} requests", requests), wishes.context);
}

}  // namespace quantlane
