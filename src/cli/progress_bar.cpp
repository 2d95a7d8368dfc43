#include "cli/progress_bar.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace quantlane::cli {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kLineEvery = std::chrono::seconds(10);
constexpr int kBarCells = 24;
constexpr int kUsualColumns = 80;
// Off while a bar is drawn: a line that is too long is cut by the terminal instead of wrapped.
constexpr const char* kWrapOff = "\x1b[?7l";
constexpr const char* kWrapOn = "\x1b[?7h";

int terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualColumns;
  return size.ws_col;
}

// Names of lanes and task files must not move the cursor.
std::string printable(std::string_view text) {
  std::string safe(text);
  std::ranges::replace_if(
      safe, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; }, '?');
  return safe;
}

std::string quantity(double value, std::string_view unit) {
  if (unit == "B") {
    if (value >= 1e9) return fmt::format("{:.2f} GB", value / 1e9);
    if (value >= 1e6) return fmt::format("{:.1f} MB", value / 1e6);
    return fmt::format("{:.0f} kB", value / 1e3);
  }
  if (value >= 1e5) return fmt::format("{:.0f}k {}", value / 1e3, unit);
  return fmt::format("{:.{}f} {}", value,
                     value < 10 && value != static_cast<double>(static_cast<int>(value)) ? 1 : 0,
                     unit);
}

std::string duration(double seconds) {
  if (seconds < 100) return fmt::format("{:.0f} s", seconds);
  return fmt::format("{}:{:02} min", static_cast<int>(seconds) / 60,
                     static_cast<int>(seconds) % 60);
}

}  // namespace

ProgressBar::~ProgressBar() {
  if (active_ && style_ == Style::kBar) std::fputc('\n', stderr);
}

void ProgressBar::begin(std::string_view stage, std::uint64_t total, std::string_view unit) {
  const std::scoped_lock lock(mutex_);
  stage_ = printable(stage);
  unit_ = unit;
  total_ = total;
  done_ = 0;
  start_ = drawn_ = Clock::now();
  active_ = true;
  if (style_ == Style::kBar) draw(false);
}

void ProgressBar::update(std::uint64_t done) {
  const std::scoped_lock lock(mutex_);
  if (!active_) return;
  done_ = std::max(done_, done);
  const auto now = Clock::now();
  if (now - drawn_ <
      (style_ == Style::kBar ? Clock::duration(kRedraw) : Clock::duration(kLineEvery)))
    return;
  drawn_ = now;
  draw(false);
}

void ProgressBar::end() {
  const std::scoped_lock lock(mutex_);
  if (!active_) return;
  done_ = total_;
  draw(true);
  active_ = false;
}

void ProgressBar::notice(std::string_view text) {
  const std::scoped_lock lock(mutex_);
  if (style_ == Style::kQuiet) return;
  if (style_ == Style::kBar && active_) clear_line();
  fmt::print(stderr, "note: {}\n", text);
  if (style_ == Style::kBar && active_) draw(false);
}

void ProgressBar::clear_line() { std::fputs("\r\x1b[K", stderr); }

void ProgressBar::draw(bool final_state) {
  if (style_ == Style::kQuiet) return;
  const double seconds =
      std::max(1e-3, std::chrono::duration<double>(Clock::now() - start_).count());
  const double share =
      total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 0;
  const double rate = static_cast<double>(done_) / seconds;
  if (final_state) {
    if (style_ == Style::kBar) clear_line();
    fmt::print(stderr, "{:<28} {:>12}  {:>9}  {}/s\n", stage_,
               quantity(static_cast<double>(done_), unit_), duration(seconds),
               quantity(rate, unit_));
    return;
  }
  const std::string remaining =
      share > 0.01 ? duration(seconds / share - seconds) : std::string("…");
  if (style_ == Style::kLines) {
    fmt::print(stderr, "{}: {:.0f} %, {}/s, {} left\n", stage_, share * 100, quantity(rate, unit_),
               remaining);
    return;
  }
  const std::string name = fmt::format("{:<28} ", stage_);
  const std::string numbers =
      fmt::format(" {:>3.0f} %  {}/s  {} left", share * 100, quantity(rate, unit_), remaining);
  const int room = terminal_columns() - 1 - static_cast<int>(name.size() + numbers.size());
  const int cells = std::clamp(room, 0, kBarCells);
  const auto filled = std::lround(share * cells);
  std::string bar;
  for (int i = 0; i < cells; ++i) bar += i < filled ? "█" : "░";
  clear_line();
  fmt::print(stderr, "{}{}{}{}{}{}{}", kWrapOff, name, color_ ? "\x1b[36m" : "", bar,
             color_ ? "\x1b[0m" : "", numbers, kWrapOn);
  std::fflush(stderr);
}

}  // namespace quantlane::cli
