#include "quantlane/report.h"

#include "cli/command.h"
#include "quantlane/compare.h"

namespace quantlane::cli {
namespace {

class Report final : public Command {
  [[nodiscard]] std::string_view name() const override { return "report"; }
  [[nodiscard]] std::string_view summary() const override {
    return "render a finished comparison again: table, HTML, JSON";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane report compare-out                      # the table\n"
           "  quantlane report compare-out --html card.html\n";
  }
  void declare(Options& options) override {
    options.positional("report", report_, "report.json, or the folder that holds it", true);
    options.option("--html", html_, "write the HTML page here");
  }
  Result<ExitCode> run(const Io& io) override {
    const std::filesystem::path file =
        std::filesystem::is_directory(report_) ? report_ / "report.json" : report_;
    const auto report = read_report(file);
    if (!report) return std::unexpected(report.error());
    if (html_) {
      if (const auto written = write_html(*report, *html_); !written)
        return std::unexpected(written.error());
      print_line(html_->string());
      return ExitCode::kOk;
    }
    print_line(io.json ? to_json(*report) : to_table(*report, io.width, io.color));
    return ExitCode::kOk;
  }
  std::filesystem::path report_;
  std::optional<std::filesystem::path> html_;
};

}  // namespace

std::unique_ptr<Command> make_report() { return std::make_unique<Report>(); }

}  // namespace quantlane::cli
