#include "containers/dialects/module_patterns.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace quantlane {
namespace {

// Python's fnmatch: * and ? stand for any characters, [seq] and [!seq] for one of a set.
std::string expression_of(std::string_view glob) {
  std::string text = "(?s:";
  for (std::size_t i = 0; i < glob.size(); ++i) {
    const char c = glob[i];
    // A set may begin with "]".
    const std::size_t close = c == '[' ? glob.find(']', i + 2) : std::string_view::npos;
    if (c == '*') {
      text += ".*";
    } else if (c == '?') {
      text += '.';
    } else if (close != std::string_view::npos) {
      std::string set(glob.substr(i + 1, close - i - 1));
      if (set.starts_with('!')) set[0] = '^';
      text += '[';
      for (const char member : set) text += (member == '\\' ? "\\" : "") + std::string(1, member);
      text += ']';
      i = close;
    } else {
      if (std::string_view("\\^$.|()[]{}+").find(c) != std::string_view::npos) text += '\\';
      text += c;
    }
  }
  return text + ")\\z";
}

}  // namespace

Result<ModulePatterns> ModulePatterns::read(const JsonMembers& config, std::string_view key,
                                            PatternStyle style) {
  QUANTLANE_TRY(const auto list, config.strings(key));
  auto patterns = of(list, style);
  if (patterns) return patterns;
  Error named = config.refused(key);
  return fail(std::move(named)
                  .expects(patterns.error().expected)
                  .got(patterns.error().found)
                  .advise("correct the entry, or remove it if it matches no module"));
}

Result<ModulePatterns> ModulePatterns::of(std::span<const std::string_view> list,
                                          PatternStyle style) {
  ModulePatterns patterns;
  patterns.style_ = style;
  for (const std::string_view item : list) {
    Entry entry{.text = std::string(item), .regex = std::nullopt};
    if (style == PatternStyle::kTargets && entry.text.starts_with("re:")) {
      QUANTLANE_TRY(entry.regex, Regex::compile(std::string_view(entry.text).substr(3)));
    } else if (style == PatternStyle::kGlobs) {
      QUANTLANE_TRY(entry.regex, Regex::compile(expression_of(entry.text)));
    }
    patterns.entries_.push_back(std::move(entry));
  }
  return patterns;
}

namespace {

// Is `text` one part of a dotted path, or several that follow each other?
bool is_part_of(std::string_view text, std::string_view path) {
  if (text.empty()) return false;
  for (std::size_t at = path.find(text); at != std::string_view::npos;
       at = path.find(text, at + 1)) {
    const std::size_t end = at + text.size();
    const bool begins = at == 0 || path[at - 1] == '.';
    if (begins && (end == path.size() || path[end] == '.')) return true;
  }
  return false;
}

}  // namespace

PatternMatch ModulePatterns::match(std::string_view module) const {
  PatternMatch closest = PatternMatch::kNone;
  for (const Entry& entry : entries_) {
    PatternMatch match = PatternMatch::kNone;
    if (entry.regex) {
      if (entry.regex->matches_start(module)) match = PatternMatch::kExpression;
    } else if (style_ == PatternStyle::kSubstrings) {
      if (!entry.text.empty() && module.find(entry.text) != std::string_view::npos)
        match = PatternMatch::kPath;
    } else if (style_ == PatternStyle::kParts) {
      if (is_part_of(entry.text, module)) match = PatternMatch::kPath;
    } else if (entry.text == module) {
      match = PatternMatch::kPath;
    } else if (entry.text == "Linear") {
      match = PatternMatch::kClass;
    }
    closest = std::min(closest, match);
  }
  return closest;
}

}  // namespace quantlane
