// Regular expressions over module names, as the keys of PEFT's adapter_config.json give them; for
// src/model/adapters only.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "core/regex.h"
#include "quantlane/result.h"

namespace quantlane {

class ModulePattern {
 public:
  // `suffix`: any modules may stand before it (rank_pattern), else it is the whole name. `key` and
  // `origin` name it in errors; kCorrupt for what is no regular expression.
  static Result<ModulePattern> compile(const std::string& text, bool suffix, const std::string& key,
                                       const std::string& origin);
  // kResourceLimit where that takes too many steps.
  [[nodiscard]] Result<bool> matches(std::string_view module) const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  ModulePattern(Regex regex, std::string text, std::string key, std::string origin)
      : regex_(std::move(regex)),
        text_(std::move(text)),
        key_(std::move(key)),
        origin_(std::move(origin)) {}
  Regex regex_;
  std::string text_;
  std::string key_;
  std::string origin_;
};

}  // namespace quantlane
