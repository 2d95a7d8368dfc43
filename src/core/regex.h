// Regular expressions over UTF-8 with Unicode classes (PCRE2 behind regex.cpp): pre-tokens of
// tokenizers, targets of quantization configurations.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "quantlane/result.h"

namespace quantlane {

// Thread-safe after creation.
class Regex {
 public:
  // `^` and `$` match at lines, as in the syntax that tokenizer.json files are written for. An
  // error gives the offset inside the pattern.
  static Result<Regex> compile(std::string_view pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // `ends` are the increasing end offsets of a partition of `text` (valid UTF-8; the last one is
  // text.size()). Returns the refined partition in which, inside every part, each match and each
  // gap between matches is a part of its own. Matches never see beyond their part; empty matches
  // cut nothing.
  [[nodiscard]] std::vector<std::size_t> refine(std::string_view text,
                                                const std::vector<std::size_t>& ends) const;
  // Does the pattern match anywhere in `text`? (Text that is not UTF-8 matches nothing.)
  [[nodiscard]] bool found_in(std::string_view text) const;
  // The same for patterns of strangers: nothing where the answer needs more than `most_steps` of
  // backtracking.
  [[nodiscard]] std::optional<bool> found_within(std::string_view text,
                                                 std::uint32_t most_steps) const;
  // Does a match begin at the first byte of `text`? (Python's re.match)
  [[nodiscard]] bool matches_start(std::string_view text) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

}  // namespace quantlane
