#include "core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <utility>

#include <pcre2.h>

namespace quantlane {

struct Regex::State {
  pcre2_code* code = nullptr;
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { pcre2_code_free(code); }
};

namespace {

struct MatchData {
  pcre2_match_data* data;
  explicit MatchData(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)) {}
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  ~MatchData() { pcre2_match_data_free(data); }
};

}  // namespace

Regex::Regex(std::unique_ptr<State> state) : state_(std::move(state)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view pattern) {
  auto state = std::make_unique<State>();
  int code = 0;
  PCRE2_SIZE offset = 0;
  state->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &code, &offset, nullptr);
  if (state->code == nullptr) {
    char text[256] = {};
    pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof(text));
    return fail(invalid("compiling the regular expression \"" + std::string(pattern) + "\"")
                    .at(offset)
                    .got(text));
  }
  pcre2_jit_compile(state->code, PCRE2_JIT_COMPLETE);  // optional: matching works without
  return Regex(std::move(state));
}

std::optional<Regex::Match> Regex::search(std::string_view text, std::size_t start) const {
  // One per thread and pattern size would be faster still; creation costs about 50 ns.
  const MatchData match(state_->code);
  const int count = pcre2_match(state_->code, reinterpret_cast<PCRE2_SPTR>(text.data()),
                                text.size(), start, PCRE2_NO_UTF_CHECK, match.data, nullptr);
  if (count <= 0) return std::nullopt;
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.data);
  return Match{.begin = bounds[0], .end = bounds[1]};
}

bool Regex::matches_start(std::string_view text) const {
  const MatchData match(state_->code);
  return pcre2_match(state_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                     PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, match.data, nullptr) > 0;
}

}  // namespace quantlane
