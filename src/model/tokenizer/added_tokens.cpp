#include "model/tokenizer/added_tokens.h"

#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

namespace quantlane {
namespace {

std::uint64_t edge(std::uint64_t node, char byte) {
  return node << 8 | static_cast<unsigned char>(byte);
}

// Start of the white space that ends at `end`, not before `limit`.
std::size_t white_space_before(std::string_view text, std::size_t limit, std::size_t end) {
  while (end > limit) {
    std::size_t at = end - 1;
    while (at > limit && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!is_white_space(first_code_point(text.substr(at)))) break;
    end = at;
  }
  return end;
}

std::size_t white_space_after(std::string_view text, std::size_t at) {
  while (at < text.size() && is_white_space(first_code_point(text.substr(at)))) {
    at += valid_utf8_length(text[at]);
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(const TokenizerSpec& spec) {
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenKind kind = spec.kinds[id];
    const bool special = kind == TokenKind::kControl || kind == TokenKind::kUnknown;
    if (special || kind == TokenKind::kUserDefined) {
      add(spec.tokens[id], static_cast<std::int32_t>(id), special);
    }
  }
  const auto mark = [&spec](const std::vector<std::int32_t>& ids, std::vector<bool>& side) {
    if (!ids.empty()) side.resize(spec.tokens.size());
    for (const std::int32_t id : ids) side[static_cast<std::size_t>(id)] = true;
  };
  mark(spec.strip_left, strip_left_);
  mark(spec.strip_right, strip_right_);
}

void AddedTokens::add(std::string_view piece, std::int32_t id, bool special) {
  if (piece.empty()) return;
  starts_[static_cast<unsigned char>(piece[0])] = true;
  std::uint32_t node = 0;
  for (const char byte : piece) {
    const auto next = static_cast<std::uint32_t>(nodes_.size());
    const auto [place, is_new] = edges_.try_emplace(edge(node, byte), next);
    if (is_new) nodes_.emplace_back();
    node = place->second;
  }
  if (nodes_[node].id < 0) nodes_[node] = {.id = id, .special = special};
}

AddedTokens::Match AddedTokens::longest(std::string_view text, bool parse_special) const {
  Match best;
  std::uint32_t node = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto next = edges_.find(edge(node, text[at]));
    if (next == edges_.end()) break;
    node = next->second;
    if (nodes_[node].id >= 0 && (parse_special || !nodes_[node].special)) {
      best = {.size = at + 1, .id = nodes_[node].id};
    }
  }
  return best;
}

bool AddedTokens::strips(const std::vector<bool>& side, std::int32_t id) const {
  return !side.empty() && side[static_cast<std::size_t>(id)];
}

std::vector<Fragment> AddedTokens::split(std::string_view text, bool parse_special) const {
  std::vector<Fragment> fragments;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Match match = starts_[static_cast<unsigned char>(text[at])]
                            ? longest(text.substr(at), parse_special)
                            : Match{};
    if (match.id < 0) {
      ++at;
      continue;
    }
    const std::size_t end =
        strips(strip_left_, match.id) ? white_space_before(text, begin, at) : at;
    if (end > begin) fragments.push_back({.begin = begin, .end = end, .id = -1});
    fragments.push_back({.begin = at, .end = at + match.size, .id = match.id});
    at += match.size;
    if (strips(strip_right_, match.id)) at = white_space_after(text, at);
    begin = at;
  }
  if (begin < text.size()) fragments.push_back({.begin = begin, .end = text.size(), .id = -1});
  return fragments;
}

}  // namespace quantlane
