// Lists of modules in quantization configurations: which Linears are (not) quantized.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_members.h"
#include "core/regex.h"

namespace quantlane {

// How the entries of a list are meant. kTargets: an exact module path, a class name ("Linear"), or
// "re:" and a regular expression anchored at the start (compressed-tensors, Quark). kSubstrings:
// any part of the path (AutoAWQ as vLLM reads it). kGlobs: shell patterns of the whole path
// (ModelOpt). kParts: whole parts of the path, "gate" of "model.layers.0.mlp.gate" and not of
// "….gate_proj" (transformers; SGLang's FP8).
enum class PatternStyle : std::uint8_t { kTargets, kSubstrings, kGlobs, kParts };

// What of a list matches a module, the closest first.
enum class PatternMatch : std::uint8_t { kPath, kExpression, kClass, kNone };

class ModulePatterns {
 public:
  ModulePatterns() = default;
  // The array of strings `key` of a configuration; absent or null, it is empty. Errors name the
  // key: kCorrupt for anything else, kUnsupported for an expression that does not compile.
  static Result<ModulePatterns> read(const JsonMembers& config, std::string_view key,
                                     PatternStyle style);
  static Result<ModulePatterns> of(std::span<const std::string_view> list, PatternStyle style);
  [[nodiscard]] PatternMatch match(std::string_view module) const;
  [[nodiscard]] bool matches(std::string_view module) const {
    return match(module) != PatternMatch::kNone;
  }

 private:
  struct Entry {
    std::string text;
    std::optional<Regex> regex;
  };
  PatternStyle style_ = PatternStyle::kTargets;
  std::vector<Entry> entries_;
};

}  // namespace quantlane
