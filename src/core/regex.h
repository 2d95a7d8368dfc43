// Regular expressions over UTF-8 (Perl syntax, Unicode classes), PCRE2 behind regex.cpp.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "quantlane/result.h"

namespace quantlane {

// Compiled once; matching is thread-safe.
class Regex {
 public:
  // kInvalidArgument names the pattern and where it is wrong.
  static Result<Regex> compile(std::string_view pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  struct Match {
    std::size_t begin;
    std::size_t end;  // bytes [begin, end) of the text
  };
  // The first match at or after byte `start` of `text` (valid UTF-8); nullopt when there is none,
  // or when matching exceeds the library's work limit.
  [[nodiscard]] std::optional<Match> search(std::string_view text, std::size_t start = 0) const;
  // Does a match begin at the first byte? (Python's re.match)
  [[nodiscard]] bool matches_start(std::string_view text) const;

 private:
  struct State;
  explicit Regex(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace quantlane
