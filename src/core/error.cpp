#include <cstdio>
#include <cstdlib>

#include "core/check.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

std::string Error::message() const {
  std::string text = attempted;
  const auto line = [&text](const char* label, const std::string& value) {
    if (!value.empty()) text += "\n  " + std::string(label) + value;
  };
  line("file:     ", file);
  line("name:     ", tensor);
  if (offset) line("offset:   ", std::to_string(*offset));
  line("expected: ", expected);
  line("found:    ", found);
  line("try:      ", hint);
  return text;
}

namespace {
class NoProgress final : public Progress {
  void begin(std::string_view, std::uint64_t, std::string_view) override {}
  void update(std::uint64_t) override {}
  void end() override {}
  void notice(std::string_view) override {}
};
}  // namespace

Progress& no_progress() {
  static NoProgress progress;
  return progress;
}

void internal::check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "quantlane: defect: %s does not hold at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace quantlane
