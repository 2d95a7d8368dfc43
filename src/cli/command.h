// What a command is: options declared once (parsing, help and defaults come from that), one run().
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane::cli {

// Documented in the README; other programs rely on the numbers.
enum class ExitCode : std::uint8_t {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kGateFailed = 3,
  kInfeasible = 4,
  kInconclusive = 5,
  kInterrupted = 75,  // finished work is kept; the same command goes on
};

// Where a command declares its options; the library behind it is visible in command_line.cpp only.
// Every target keeps its present value as the default that help shows.
class Options {
 public:
  virtual ~Options() = default;
  virtual void positional(std::string_view name, std::filesystem::path& target,
                          std::string_view help, bool required) = 0;
  virtual void positional(std::string_view name, std::string& target, std::string_view help,
                          bool required) = 0;
  // One or more.
  virtual void positional(std::string_view name, std::vector<std::filesystem::path>& target,
                          std::string_view help, bool required) = 0;
  // `names`: "--out" or "-o,--out".
  virtual void option(std::string_view names, std::filesystem::path& target,
                      std::string_view help) = 0;
  virtual void option(std::string_view names, std::optional<std::filesystem::path>& target,
                      std::string_view help) = 0;
  virtual void option(std::string_view names, std::string& target, std::string_view help) = 0;
  // A number of bytes with or without a unit, which the help says.
  virtual void size(std::string_view names, std::string& target, std::string_view help) = 0;
  virtual void option(std::string_view names, int& target, std::string_view help) = 0;
  virtual void option(std::string_view names, std::int64_t& target, std::string_view help) = 0;
  // Comma-separated.
  virtual void option(std::string_view names, std::vector<std::string>& target,
                      std::string_view help) = 0;
  // "PATTERN=TYPE", given once for each; commas belong to the value.
  virtual void repeated(std::string_view names, std::vector<std::string>& target,
                        std::string_view help) = 0;
  // name=number, comma-separated or repeated.
  virtual void option(std::string_view names, std::map<std::string, double>& target,
                      std::string_view help) = 0;
  virtual void flag(std::string_view names, bool& target, std::string_view help) = 0;
  // The option `name` means nothing without `other`; both long names, both declared.
  virtual void needs(std::string_view name, std::string_view other) = 0;
};

// Output of a command: the result goes to stdout, everything else to stderr.
struct Io {
  Progress& progress;
  bool json = false;
  bool color = false;
  int width = 100;      // columns of the terminal, at most 100 where tables are meant
  std::string command;  // the whole command line
};

class Command {
 public:
  virtual ~Command() = default;
  // "quantize", or "imatrix show": below a command that stands earlier in the table.
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view summary() const = 0;
  // Lines "command   # what it does", shown below the options.
  [[nodiscard]] virtual std::string_view examples() const = 0;
  virtual void declare(Options& options) = 0;
  virtual Result<ExitCode> run(const Io& io) = 0;
};

// The table of commands, one file each.
std::vector<std::unique_ptr<Command>> make_commands();
std::unique_ptr<Command> make_compare();
std::unique_ptr<Command> make_inspect();
std::unique_ptr<Command> make_quantize();
std::unique_ptr<Command> make_convert();
std::unique_ptr<Command> make_imatrix();
std::unique_ptr<Command> make_imatrix_merge();
std::unique_ptr<Command> make_imatrix_show();
std::unique_ptr<Command> make_eval();
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_tokenize();
std::unique_ptr<Command> make_merge_lora();
std::unique_ptr<Command> make_deploy();
std::unique_ptr<Command> make_report();
std::unique_ptr<Command> make_doctor();

// Parses the arguments and runs the command; prints errors; returns the process's exit code.
int run_command_line(int argc, char** argv);

// Prints a line to stdout.
void print_line(std::string_view text);

// "[rows, cols]".
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace quantlane::cli
