#include "cli/command.h"
#include "quantlane/imatrix.h"

namespace quantlane::cli {
namespace {

class ShowImatrix final : public Command {
  [[nodiscard]] std::string_view name() const override { return "imatrix show"; }
  [[nodiscard]] std::string_view summary() const override {
    return "figures of every entry of an importance matrix, and what its text never reached";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane imatrix show imatrix.gguf\n"
           "  quantlane imatrix show imatrix.dat --json\n"
           "\nColumns, over the mean squares of a weight's inputs: their sum, extremes, mean and\n"
           "standard deviation; active: share above 1e-5; entropy in bits; outliers: share more\n"
           "than one sigma above the mean; cosine: with the same weight one layer before.\n";
  }
  void declare(Options& options) override {
    options.positional("file", file_,
                       "importance matrix (.gguf, .dat) or statistics (.safetensors)", true);
  }
  Result<ExitCode> run(const Io& io) override {
    const auto report = show_imatrix(file_);
    if (!report) return std::unexpected(report.error());
    print_line(io.json ? to_json(*report) : to_table(*report, io.width));
    return ExitCode::kOk;
  }
  std::filesystem::path file_;
};

}  // namespace

std::unique_ptr<Command> make_imatrix_show() { return std::make_unique<ShowImatrix>(); }

}  // namespace quantlane::cli
