#include "model/adapters/module_pattern.h"

#include <cstdint>

#include <fmt/format.h>

#include "core/check.h"
#include "model/adapters/peft_keys.h"

namespace quantlane {
namespace {
// Patterns that people write need some hundreds, those of Unsloth some thousands.
constexpr std::uint32_t kMostSteps = 100'000;
}  // namespace

Result<ModulePattern> ModulePattern::compile(const std::string& text, bool suffix,
                                             const std::string& key, const std::string& origin) {
  // Alone first: brackets must balance without those around it.
  const auto alone = Regex::compile(text);
  // \A and \z: the lines of a pattern would otherwise end at line breaks.
  auto regex = Regex::compile((suffix ? "\\A(?:.*\\.)?(?:" : "\\A(?:") + text + ")\\z");
  if (!alone || !regex) {
    return fail(bad_peft_value(
        origin, key,
        "a regular expression (" + (alone ? regex.error().expected : alone.error().expected) + ")",
        text));
  }
  return ModulePattern(std::move(*regex), text, key, origin);
}

Result<bool> ModulePattern::matches(std::string_view module) const {
  const auto found = regex_.found_within(module, kMostSteps);
  if (found) return *found;
  return fail(
      make_error(ErrorCode::kResourceLimit, "matching the modules of an adapter")
          .in(origin_)
          .of(key_)
          .expects(fmt::format("a pattern that needs at most {} steps for a name", kMostSteps))
          .got(fmt::format("\"{:.200}\", which needs more for {}", text_, module))
          .advise("write it without repetitions inside repetitions, or as a list of names"));
}

}  // namespace quantlane
