#include "cli/command.h"
#include "cli/imatrix_output.h"
#include "quantlane/imatrix.h"

namespace quantlane::cli {
namespace {

class MergeImatrix final : public Command {
  [[nodiscard]] std::string_view name() const override { return "imatrix merge"; }
  [[nodiscard]] std::string_view summary() const override {
    return "add importance matrices of one model, or convert one";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane imatrix merge chat.gguf code.dat -o both.gguf\n"
           "  quantlane imatrix merge imatrix.gguf -o imatrix.dat   # for older tools\n";
  }
  void declare(Options& options) override {
    options.positional("files", options_.inputs,
                       "matrices, .gguf or .dat; or statistics, .safetensors", true);
    options.option("-o,--out", options_.out,
                   "output file: .gguf, .dat for older tools, .safetensors of statistics");
    options.option("--chunk", options_.chunk,
                   "tokens per chunk that the output counts in (0 = as the files)");
    options.flag("-f,--force", options_.force, "replace an existing output");
  }
  Result<ExitCode> run(const Io& io) override {
    if (options_.out.empty()) {
      return fail(usage_error("merging importance matrices").expects("an output: -o FILE.gguf"));
    }
    const auto result = merge_imatrix(options_);
    if (!result) return std::unexpected(result.error());
    print_imatrix(*result, io);
    return ExitCode::kOk;
  }
  ImatrixMergeOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_imatrix_merge() { return std::make_unique<MergeImatrix>(); }

}  // namespace quantlane::cli
