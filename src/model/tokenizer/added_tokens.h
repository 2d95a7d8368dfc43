// Control and user-defined tokens, found as they are spelled before anything else looks at the
// text.
#pragma once
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace quantlane {

struct TokenizerSpec;

// A part of a text: either one token (id >= 0) or text between tokens (id < 0). begin < end.
struct Fragment {
  std::size_t begin = 0, end = 0;
  std::int32_t id = -1;
};

// Leftmost, then longest match. Thread-safe after creation.
class AddedTokens {
 public:
  explicit AddedTokens(const TokenizerSpec& spec);
  // Cuts `text` into fragments, in order. User-defined tokens always, control and unknown ones with
  // `parse_special`. White space that a token swallows (strip_left, strip_right) is in no fragment.
  [[nodiscard]] std::vector<Fragment> split(std::string_view text, bool parse_special) const;

 private:
  struct Node {
    std::int32_t id = -1;
    bool special = false;
  };
  struct Match {
    std::size_t size = 0;
    std::int32_t id = -1;
  };
  void add(std::string_view piece, std::int32_t id, bool special);
  [[nodiscard]] Match longest(std::string_view text, bool parse_special) const;
  [[nodiscard]] bool strips(const std::vector<bool>& side, std::int32_t id) const;

  // A trie over bytes: (node, byte) -> node.
  std::vector<Node> nodes_{1};
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
  bool starts_[256] = {};
  std::vector<bool> strip_left_, strip_right_;
};

}  // namespace quantlane
