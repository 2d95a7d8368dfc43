// Progress on stderr: a bar with rate and remaining time on a terminal, plain lines elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "quantlane/progress.h"

namespace quantlane::cli {

class ProgressBar final : public Progress {
 public:
  enum class Style : std::uint8_t { kBar, kLines, kQuiet };
  ProgressBar(Style style, bool color) : style_(style), color_(color) {}
  ~ProgressBar() override;
  void begin(std::string_view stage, std::uint64_t total, std::string_view unit) override;
  void update(std::uint64_t done) override;
  void end() override;
  void notice(std::string_view text) override;

 private:
  using Clock = std::chrono::steady_clock;
  void draw(bool final_state);
  void clear_line();

  Style style_;
  bool color_;
  std::mutex mutex_;
  std::string stage_;
  std::string unit_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
  Clock::time_point start_;
  Clock::time_point drawn_;
  bool active_ = false;
};

}  // namespace quantlane::cli
