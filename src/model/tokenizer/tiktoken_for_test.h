// tiktoken's rank files ("base64 rank" lines) as merges, for vectors whose vocabulary comes so.
#pragma once
#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane::test {

inline std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned int bits = 0, count = 0;
  for (const char digit : text) {
    const std::size_t value = kDigits.find(digit);
    if (value == std::string_view::npos) break;
    bits = bits << 6U | static_cast<unsigned int>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFFU);
  }
  return bytes;
}

// The two parts that make `token` when only better ranks are merged.
inline std::pair<std::string, std::string> last_merge(
    const std::string& token, const std::unordered_map<std::string, int>& ranks) {
  std::vector<std::string> parts;
  for (const char byte : token) parts.emplace_back(1, byte);
  while (parts.size() > 2) {
    int best = ranks.at(token);
    std::size_t place = parts.size();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto rank = ranks.find(parts[i] + parts[i + 1]);
      if (rank != ranks.end() && rank->second < best) best = rank->second, place = i;
    }
    if (place == parts.size()) break;
    parts[place] += parts[place + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
  return parts.size() == 2 ? std::pair(parts[0], parts[1]) : std::pair<std::string, std::string>();
}

// Without a pre-tokenizer name. Tokens that no merge gives keep their id (ignore_merges finds
// them).
inline TokenizerSpec tiktoken_spec(const std::string& file) {
  std::unordered_map<std::string, int> ranks;
  std::map<int, std::string> tokens;
  for (std::size_t at = 0; at < file.size();) {
    const std::size_t end = std::min(file.find('\n', at), file.size());
    const std::string_view line = std::string_view(file).substr(at, end - at);
    const std::size_t space = line.find(' ');
    int rank = 0;
    std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
    tokens[rank] = from_base64(line.substr(0, space));
    ranks[tokens[rank]] = rank;
    at = end + 1;
  }
  const auto spelled = [](std::string_view bytes) {
    std::string letters;
    for (const char byte : bytes) letters += byte_letter(static_cast<unsigned char>(byte));
    return letters;
  };
  TokenizerSpec spec;
  spec.model = "gpt2";
  for (const auto& [rank, token] : tokens) {
    spec.tokens.push_back(spelled(token));
    spec.kinds.push_back(TokenKind::kNormal);
    const auto [left, right] = last_merge(token, ranks);
    if (!left.empty()) spec.merges.push_back(spelled(left) + " " + spelled(right));
  }
  return spec;
}

}  // namespace quantlane::test
