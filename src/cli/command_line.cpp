// Parsing with CLI11, signals, exit codes: everything between main() and a command.
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <new>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/progress_bar.h"
#include "quantlane/cancel.h"
#include "quantlane/doctor.h"
#include "quantlane/version.h"

namespace quantlane::cli {
namespace {

class Cli11Options final : public Options {
 public:
  explicit Cli11Options(CLI::App& app) : app_(app) {}
  void positional(std::string_view name, std::filesystem::path& target, std::string_view help,
                  bool required) override {
    app_.add_option(std::string(name), target, std::string(help))
        ->required(required)
        ->type_name("PATH");
  }
  void positional(std::string_view name, std::string& target, std::string_view help,
                  bool required) override {
    app_.add_option(std::string(name), target, std::string(help))
        ->required(required)
        ->type_name("NAME");
  }
  void positional(std::string_view name, std::vector<std::filesystem::path>& target,
                  std::string_view help, bool required) override {
    app_.add_option(std::string(name), target, std::string(help))
        ->required(required)
        ->type_name("PATH…");
  }
  void option(std::string_view names, std::filesystem::path& target,
              std::string_view help) override {
    app_.add_option(std::string(names), target, std::string(help))
        ->type_name("PATH")
        ->check(no_option)
        ->default_str(target.string());
  }
  void option(std::string_view names, std::optional<std::filesystem::path>& target,
              std::string_view help) override {
    app_.add_option(std::string(names), target, std::string(help))
        ->type_name("PATH")
        ->check(no_option);
  }
  void option(std::string_view names, std::string& target, std::string_view help) override {
    text(names, target, help)->type_name("NAME");
  }
  void size(std::string_view names, std::string& target, std::string_view help) override {
    text(names, target,
         std::string(help) + "; SIZE: bytes, or KB to TB (of 1000), KiB to TiB (of 1024)")
        ->type_name("SIZE");
  }
  void option(std::string_view names, int& target, std::string_view help) override {
    // Thread and repeat counts; far above what helps, far below what a system refuses.
    number(names, target, help, 1024);
  }
  void option(std::string_view names, std::int64_t& target, std::string_view help) override {
    number(names, target, help, std::numeric_limits<std::int64_t>::max());
  }
  void option(std::string_view names, std::vector<std::string>& target,
              std::string_view help) override {
    const auto split = [&target, name = std::string(names)](const std::vector<std::string>& lists) {
      for (const std::string& list : lists) {
        for (std::size_t begin = 0; begin <= list.size();) {
          const std::size_t end = std::min(list.find(',', begin), list.size());
          if (end == begin) throw CLI::ValidationError(name, "\"" + list + "\" has an empty name");
          target.push_back(list.substr(begin, end - begin));
          begin = end + 1;
        }
      }
    };
    app_.add_option_function<std::vector<std::string>>(std::string(names), split, std::string(help))
        ->type_name("A,B");
  }
  void repeated(std::string_view names, std::vector<std::string>& target,
                std::string_view help) override {
    app_.add_option(std::string(names), target, std::string(help))
        ->allow_extra_args(false)
        ->type_name("PATTERN=TYPE");
  }
  void option(std::string_view names, std::map<std::string, double>& target,
              std::string_view help) override {
    const auto parse = [&target, name = std::string(names)](const std::vector<std::string>& items) {
      for (const std::string& item : items) {
        const auto equal = item.find('=');
        char* end = nullptr;
        const double value =
            equal == std::string::npos ? 0 : std::strtod(item.c_str() + equal + 1, &end);
        if (equal == std::string::npos || end == item.c_str() + equal + 1 || *end != '\0')
          throw CLI::ValidationError(name, "\"" + item + "\" is no AXIS=NUMBER, such as kld=0.05");
        if (!target.emplace(item.substr(0, equal), value).second)
          throw CLI::ValidationError(item.substr(0, equal), "given twice");
      }
      return true;
    };
    app_.add_option(std::string(names), parse, std::string(help))
        ->delimiter(',')
        ->type_name("AXIS=X")
        ->expected(1, 64);
  }
  void flag(std::string_view names, bool& target, std::string_view help) override {
    app_.add_flag(std::string(names), target, std::string(help));
  }
  void needs(std::string_view name, std::string_view other) override {
    app_.get_option(std::string(name))->needs(app_.get_option(std::string(other)));
  }

 private:
  static std::string no_option(const std::string& path) {
    if (!path.starts_with('-') || path == "-") return {};
    return fmt::format("\"{0}\" looks like an option, not a path; write ./{0} for a file", path);
  }
  // A variable that is not set is no wish for the default.
  static std::string some_value(const std::string& text) {
    return text.empty() ? "\"\" is no value; leave the option out where its default is meant" : "";
  }
  CLI::Option* text(std::string_view names, std::string& target, std::string_view help) {
    return app_.add_option(std::string(names), target, std::string(help))
        ->check(some_value)
        ->capture_default_str();
  }
  template <class T>
  void number(std::string_view names, T& target, std::string_view help, std::int64_t most) {
    const auto in_range = [most](const std::string& text) -> std::string {
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error == std::errc() && end == text.data() + text.size() && value >= 0 && value <= most)
        return {};
      const bool bounded = most != std::numeric_limits<std::int64_t>::max();
      return fmt::format("\"{}\" is not a whole number, 0 or more{}", text,
                         bounded ? fmt::format(", at most {}", most) : "");
    };
    app_.add_option(std::string(names), target, std::string(help))
        ->type_name("N")
        ->capture_default_str()
        ->check(in_range);
  }
  CLI::App& app_;
};

ExitCode exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
      return ExitCode::kUsage;
    case ErrorCode::kCancelled:
      return ExitCode::kInterrupted;
    case ErrorCode::kInfeasible:
      return ExitCode::kInfeasible;
    default:
      return ExitCode::kError;
  }
}

extern "C" void on_signal(int signal) {
  // A second signal ends the process at once.
  std::signal(signal, SIG_DFL);
  request_cancel();
}

int terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return std::clamp<int>(size.ws_col, 60, 100);
}

bool wants_color(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(descriptor) != 0 && (no_color == nullptr || *no_color == '\0');
}

struct Common {
  bool json = false;
  bool quiet = false;
};

void add_common(CLI::App& app, Common& common) {
  app.add_flag("--json", common.json, "print the result as JSON");
  app.add_flag("-q,--quiet", common.quiet, "no progress and no notes");
}

// "imatrix show" goes below "imatrix".
CLI::App* add_command(CLI::App& app, const Command& command) {
  const std::string name(command.name());
  const auto space = name.find(' ');
  CLI::App* parent = space == std::string::npos ? &app : app.get_subcommand(name.substr(0, space));
  return parent->add_subcommand(space == std::string::npos ? name : name.substr(space + 1),
                                std::string(command.summary()));
}

// As a POSIX shell reads it back.
std::string quoted(std::string_view word) {
  const bool plain = !word.empty() && std::ranges::all_of(word, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("-_./:=,+@%").contains(c);
  });
  if (plain) return std::string(word);
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

std::string joined(int argc, char** argv) {
  std::string text = "quantlane";
  for (int i = 1; i < argc; ++i) text += " " + quoted(argv[i]);
  return text;
}

// What to try where the place that failed knew nothing better.
const char* general_advice(ErrorCode code) {
  switch (code) {
    case ErrorCode::kCorrupt:
      return "the file is damaged or contradicts itself: download or write it again";
    case ErrorCode::kNotFound:
      return "check the spelling; `quantlane inspect PATH` lists what a checkpoint holds";
    case ErrorCode::kUsage:
    case ErrorCode::kInvalidArgument:
      return "--help lists what there is, with examples";
    case ErrorCode::kUnsupported:
      return "quantlane cannot do this yet; README.md says what it handles";
    case ErrorCode::kIo:
      return "check that the path can be reached and that the disk is sound";
    default:
      return "";
  }
}

int report_error(Error error) {
  if (error.hint.empty()) error.hint = general_advice(error.code);
  fmt::print(stderr, "{}: {}\n", error.code == ErrorCode::kCancelled ? "stopped" : "error",
             error.message());
  return static_cast<int>(exit_code(error.code));
}

int run_selected(Command& command, const Common& common, const std::string& line) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  std::optional<ProgressBar> progress;
  progress.emplace(common.quiet ? ProgressBar::Style::kQuiet
                   : terminal   ? ProgressBar::Style::kBar
                                : ProgressBar::Style::kLines,
                   wants_color(STDERR_FILENO));
  const Io io{.progress = *progress,
              .json = common.json,
              .color = wants_color(STDOUT_FILENO),
              .width = terminal_width(),
              .command = line};
  const auto result = [&]() -> Result<ExitCode> {
    try {
      return command.run(io);
    } catch (const std::bad_alloc&) {
      return fail(make_error(ErrorCode::kResourceLimit, "running " + std::string(command.name()))
                      .expects("enough memory")
                      .advise("ask for less at a time, or use a machine with more memory"));
    }
  }();
  progress.reset();  // ends the line of an unfinished bar before an error is printed
  if (result && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)) {
    return report_error(
        make_error(ErrorCode::kIo, "writing the result").in("stdout").got(std::strerror(errno)));
  }
  return result ? static_cast<int>(*result) : report_error(result.error());
}

}  // namespace

void print_line(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

int run_command_line(int argc, char** argv) {
  CLI::App app(
      "Which quantization of this model do I ship? Makes the candidates, measures them, says.",
      "quantlane");
  app.set_version_flag("--version", std::string("quantlane ") + std::string(version()));
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 pass, 1 error, 2 usage, 3 gate failed, 4 infeasible, 5 inconclusive, 75 "
      "interrupted.\n"
      "Start with: quantlane compare");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("error: {}\n  try:      --help lists what there is, with examples\n",
                       error.what());
  });
  Common common;
  const auto commands = make_commands();
  std::map<const CLI::App*, Command*> command_of;
  for (const auto& command : commands) {
    CLI::App* sub = add_command(app, *command);
    command_of[sub] = command.get();
    Cli11Options options(*sub);
    command->declare(options);
    add_common(*sub, common);
    sub->footer("Examples:\n" + std::string(command->examples()));
  }
  if (argc > 1 && argv[1][0] != '-' && std::ranges::none_of(commands, [&](const auto& command) {
        return command->name() == argv[1];
      })) {
    fmt::print(stderr, "error: there is no command \"{}\"\n  try:      quantlane --help\n",
               argv[1]);
    return static_cast<int>(ExitCode::kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  if (const std::string problem = environment_error(); !problem.empty()) {
    fmt::print(stderr, "error: {}\n", problem);
    return static_cast<int>(ExitCode::kUsage);
  }
  // A full disk, a file size limit and a closed pipe come back as errors of the write.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  const CLI::App* chosen = &app;
  while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands()[0];
  return run_selected(*command_of.at(chosen), common, joined(argc, argv));
}

}  // namespace quantlane::cli
