// A Hugging Face folder: which file holds the vocabulary, and what the configuration files add.
#include <algorithm>

#include <fmt/format.h>

#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "model/tokenizer/sentencepiece_model.h"
#include "model/tokenizer/special_tokens.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"

namespace quantlane {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30;
constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 22;

// Null where the file does not exist.
Result<Json> read_json_if_present(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Json();
  QUANTLANE_TRY(const std::string text, read_text(path, kMaxFileBytes));
  return Json::parse(text, path.string());
}

// A special token of tokenizer_config.json is a string or an object with its content.
std::string_view special_token(const Json& config, std::string_view key) {
  const Json& token = config[key];
  return token.is_object() ? token["content"].string() : token.string();
}

std::int64_t find_token(const TokenizerSpec& spec, std::string_view content) {
  if (content.empty()) return -1;
  const auto found = std::ranges::find(spec.tokens, content);
  return found == spec.tokens.end() ? -1 : found - spec.tokens.begin();
}

// An id or a list of ids of config.json; those outside the vocabulary are left out.
std::vector<std::int64_t> config_ids(const Json& value, const TokenizerSpec& spec) {
  std::vector<std::int64_t> ids;
  const auto add = [&](const Json& id) {
    if (id.is_integer() && id.integer() >= 0 &&
        static_cast<std::uint64_t>(id.integer()) < spec.tokens.size()) {
      ids.push_back(id.integer());
    }
  };
  add(value);
  for (const Json& id : value.items()) add(id);
  return ids;
}

void read_chat_template(const Json& config, TokenizerSpec& spec) {
  const Json& value = config["chat_template"];
  if (value.is_string()) spec.chat_template = value.string();
  // A list of named templates: the default one, else the first.
  for (const Json& named : value.items()) {
    const std::string_view source = named["template"].string();
    if (spec.chat_template.empty() || named["name"].string() == "default") {
      spec.chat_template = source;
    }
  }
}

// tokenizer_config.json and special_tokens_map.json name tokens; config.json gives ids.
void read_special_ids(const Json& names, const Json& more_names, const Json& config,
                      TokenizerSpec& spec) {
  const auto choose = [&](std::string_view name, std::int64_t& id) {
    std::int64_t found = find_token(spec, special_token(names, fmt::format("{}_token", name)));
    if (found < 0)
      found = find_token(spec, special_token(more_names, fmt::format("{}_token", name)));
    if (found < 0 && id < 0) {
      const auto ids = config_ids(config[fmt::format("{}_token_id", name)], spec);
      if (!ids.empty()) found = ids.front();
    }
    if (found >= 0) id = found;
  };
  choose("bos", spec.bos_id);
  choose("eos", spec.eos_id);
  choose("unk", spec.unknown_id);
  choose("pad", spec.padding_id);
  spec.add_bos = names["add_bos_token"].boolean(spec.add_bos) && spec.bos_id >= 0;
  spec.add_eos = names["add_eos_token"].boolean(spec.add_eos) && spec.eos_id >= 0;
}

// The embedding may have more rows than the tokenizer has tokens, or fewer where added tokens
// belong to a part of the model that this one lacks (Gemma's image tokens).
Result<void> fit_vocabulary(const Json& config, const std::string& origin, TokenizerSpec& spec) {
  const Json& size =
      config.contains("vocab_size") ? config["vocab_size"] : config["text_config"]["vocab_size"];
  if (!size.is_integer()) return {};
  if (size.integer() < 1 || size.integer() > kMaxVocabulary) {
    return fail(corrupt("reading the tokenizer's configuration")
                    .in(origin)
                    .of("vocab_size")
                    .expects(fmt::format("1 to {}", kMaxVocabulary))
                    .got(size.dump()));
  }
  const auto rows = static_cast<std::size_t>(size.integer());
  for (std::size_t id = rows; id < spec.tokens.size(); ++id) {
    if (spec.kinds[id] == TokenKind::kNormal || spec.kinds[id] == TokenKind::kByte) {
      return fail(corrupt("comparing the tokenizer with the model's configuration")
                      .in(origin)
                      .of("vocab_size")
                      .expects("more than the id of every ordinary token")
                      .got(fmt::format("{}, but the tokenizer has \"{}\" with id {}", size.dump(),
                                       spec.tokens[id], id)));
    }
  }
  for (std::size_t id = spec.tokens.size(); id < rows; ++id) {
    spec.tokens.push_back(fmt::format("[PAD{}]", id));
  }
  spec.tokens.resize(rows);
  spec.kinds.resize(rows, TokenKind::kUnused);
  if (!spec.scores.empty()) spec.scores.resize(rows, -10000.0F);
  const auto outside = [rows](std::int64_t id) { return id >= static_cast<std::int64_t>(rows); };
  std::erase_if(spec.strip_left, outside);
  std::erase_if(spec.strip_right, outside);
  for (std::int64_t* id : {&spec.bos_id, &spec.eos_id, &spec.unknown_id, &spec.padding_id}) {
    if (outside(*id)) *id = -1;
  }
  return {};
}

void collect_stop_ids(const Json& generation, const Json& config, TokenizerSpec& spec) {
  add_stop_id(spec, spec.eos_id);
  for (const Json* source : {&generation, &config, &config["text_config"]}) {
    for (const std::int64_t id : config_ids((*source)["eos_token_id"], spec)) add_stop_id(spec, id);
  }
  add_template_stop_ids(spec);
}

// tokenizer.model also gives a tokenizer.json of the same vocabulary its scores, which GGUF needs.
Result<TokenizerSpec> read_vocabulary(const fs::path& folder) {
  const fs::path json_path = folder / "tokenizer.json";
  const fs::path model_path = folder / "tokenizer.model";
  std::error_code ignored;
  const bool has_model = fs::exists(model_path, ignored);
  if (!fs::exists(json_path, ignored)) {
    if (!has_model) {
      return fail(not_found("reading a tokenizer")
                      .in(folder.string())
                      .expects("tokenizer.json or tokenizer.model")
                      .got("neither")
                      .advise("copy it from the original checkpoint"));
    }
    QUANTLANE_TRY(const std::string bytes, read_text(model_path, kMaxFileBytes));
    return parse_sentencepiece_model(bytes, model_path.string());
  }
  QUANTLANE_TRY(const Json document, read_json_if_present(json_path));
  QUANTLANE_TRY(TokenizerSpec spec, parse_tokenizer_json(document, json_path.string()));
  if (spec.model != "llama" || !has_model) return spec;
  QUANTLANE_TRY(const std::string bytes, read_text(model_path, kMaxFileBytes));
  if (const auto scored = parse_sentencepiece_model(bytes, model_path.string())) {
    spec.scores.assign(spec.tokens.size(), -1000.0F);
    for (std::size_t id = 0; id < std::min(spec.tokens.size(), scored->tokens.size()); ++id) {
      if (spec.tokens[id] == scored->tokens[id]) spec.scores[id] = scored->scores[id];
    }
  }
  return spec;
}

}  // namespace

Result<TokenizerSpec> read_tokenizer_folder(const std::filesystem::path& folder) {
  QUANTLANE_TRY(TokenizerSpec spec, read_vocabulary(folder));
  QUANTLANE_TRY(const Json names, read_json_if_present(folder / "tokenizer_config.json"));
  QUANTLANE_TRY(const Json more_names, read_json_if_present(folder / "special_tokens_map.json"));
  QUANTLANE_TRY(const Json config, read_json_if_present(folder / "config.json"));
  QUANTLANE_TRY(const Json generation, read_json_if_present(folder / "generation_config.json"));
  QUANTLANE_TRY_VOID(fit_vocabulary(config, (folder / "config.json").string(), spec));
  read_special_ids(names, more_names, config, spec);
  read_chat_template(names, spec);
  const fs::path template_path = folder / "chat_template.jinja";
  std::error_code ignored;
  if (fs::exists(template_path, ignored)) {
    QUANTLANE_TRY(spec.chat_template, read_text(template_path, kMaxFileBytes));
    QUANTLANE_TRY_VOID(check_utf8(spec.chat_template, template_path.string()));
  }
  collect_stop_ids(generation, config, spec);
  return spec;
}

}  // namespace quantlane
