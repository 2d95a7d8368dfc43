#include "core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <new>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <pcre2.h>

namespace quantlane {

struct Regex::Code {
  ~Code() { pcre2_code_free(code); }
  pcre2_code* code = nullptr;
  bool jit = false;
};

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

namespace {

struct MatchData {
  explicit MatchData(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)) {
    if (data == nullptr) throw std::bad_alloc();
  }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  ~MatchData() { pcre2_match_data_free(data); }
  pcre2_match_data* data;
};

// PCRE2's \s also holds U+180E, which is no white space to the tools that made the vocabularies; so
// \s and \S are spelled out.
std::string spell_out_white_space(std::string_view pattern) {
  constexpr std::string_view kSpace = "\\p{Z}\\x{9}-\\x{D}\\x{85}";
  std::string spelled;
  bool in_class = false;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char letter = pattern[at];
    if (letter != '\\' || at + 1 == pattern.size()) {
      if (letter == '[') in_class = true;
      if (letter == ']') in_class = false;
      spelled += letter;
      continue;
    }
    const char next = pattern[++at];
    if (next == 's') {
      spelled += in_class ? std::string(kSpace) : fmt::format("[{}]", kSpace);
    } else if (next == 'S' && !in_class) {
      spelled += fmt::format("[^{}]", kSpace);
    } else {
      spelled += {'\\', next};
    }
  }
  return spelled;
}

// Bytes of the character that starts with `lead` in valid UTF-8.
std::size_t character_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xE0) return 2;
  return lead < 0xF0 ? 3 : 4;
}

}  // namespace

Result<Regex> Regex::compile(std::string_view pattern) {
  // Intersections of classes mean something else to PCRE2, silently.
  if (pattern.find("&&") != std::string_view::npos) {
    return fail(unsupported("compiling a regular expression")
                    .expects("no class intersections (&&)")
                    .got(std::string(pattern)));
  }
  const std::string spelled = spell_out_white_space(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_unique<Code>();
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled.data()), spelled.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                             &error, &offset, nullptr);
  if (code->code == nullptr) {
    unsigned char text[256] = {};
    pcre2_get_error_message(error, text, sizeof text);
    return fail(unsupported("compiling a regular expression")
                    .got(std::string(pattern))
                    .expects(fmt::format("a pattern that PCRE2 accepts ({} near character {})",
                                         reinterpret_cast<const char*>(text), offset)));
  }
  code->jit = pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE) == 0;
  return Regex(std::move(code));
}

std::vector<std::size_t> Regex::refine(std::string_view text,
                                       const std::vector<std::size_t>& ends) const {
  const MatchData match(code_->code);
  const PCRE2_SIZE* const span = pcre2_get_ovector_pointer(match.data);
  std::vector<std::size_t> refined;
  refined.reserve(ends.size() + text.size() / 8);
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    const auto part = reinterpret_cast<PCRE2_SPTR>(text.data() + begin);
    const std::size_t size = end - begin;
    for (std::size_t cut = 0, at = 0; cut < size;) {
      int found = code_->jit ? pcre2_jit_match(code_->code, part, size, at, 0, match.data, nullptr)
                             : PCRE2_ERROR_JIT_STACKLIMIT;
      // Long backtracking overflows the small JIT stack; the interpreter uses the heap.
      if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
        found = pcre2_match(code_->code, part, size, at, PCRE2_NO_JIT | PCRE2_NO_UTF_CHECK,
                            match.data, nullptr);
      }
      // Beyond the match limit the rest stays one part, as without a match.
      if (found < 0) break;
      if (span[1] == span[0]) {
        if (span[1] >= size) break;
        at = span[1] + character_length(part[span[1]]);
        continue;
      }
      if (span[0] > cut) refined.push_back(begin + span[0]);
      refined.push_back(begin + span[1]);
      cut = at = span[1];
    }
    if (refined.empty() ? end > 0 : refined.back() != end) refined.push_back(end);
    begin = end;
  }
  return refined;
}

bool Regex::found_in(std::string_view text) const {
  const MatchData match(code_->code);
  return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                     PCRE2_NO_JIT, match.data, nullptr) > 0;
}

std::optional<bool> Regex::found_within(std::string_view text, std::uint32_t most_steps) const {
  const MatchData match(code_->code);
  pcre2_match_context* const context = pcre2_match_context_create(nullptr);
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(context, most_steps);
  const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                0, PCRE2_NO_JIT, match.data, context);
  pcre2_match_context_free(context);
  if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT ||
      found == PCRE2_ERROR_HEAPLIMIT) {
    return std::nullopt;
  }
  return found > 0;
}

bool Regex::matches_start(std::string_view text) const {
  const MatchData match(code_->code);
  return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                     PCRE2_NO_JIT | PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, match.data, nullptr) > 0;
}

}  // namespace quantlane
