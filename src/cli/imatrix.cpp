#include "quantlane/imatrix.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/imatrix_output.h"

namespace quantlane::cli {

void print_imatrix(const ImatrixResult& result, const Io& io) {
  for (const std::string& notice : result.notices) io.progress.notice(notice);
  if (io.json) {
    print_line(to_json(result));
    return;
  }
  print_line(fmt::format("{:<12} {}", "matrix", result.path.string()));
  print_line(fmt::format("{:<12} {}", "entries", result.entries));
  print_line(
      fmt::format("{:<12} {}{}", "chunks", result.chunk_count,
                  result.chunk_size > 0 ? fmt::format(" of {} tokens", result.chunk_size) : ""));
  if (result.experts) print_line(fmt::format("{:<12} {}", "experts", to_text(*result.experts)));
}

namespace {

class CollectImatrix final : public Command {
  [[nodiscard]] std::string_view name() const override { return "imatrix"; }
  [[nodiscard]] std::string_view summary() const override {
    return "importance matrix of a checkpoint, as llama-quantize reads it; merge and show files";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane imatrix ./model --text calibration.txt -o imatrix.gguf\n"
           "  quantlane imatrix merge chat.gguf code.dat -o both.gguf\n"
           "  quantlane imatrix show both.gguf\n"
           "  quantlane imatrix ./model -o statistics.safetensors   # for lanes of any kind\n"
           "  quantlane quantize ./model gguf:q4_k_m -o model-q4_k_m.gguf --imatrix both.gguf\n";
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint, "Hugging Face folder or GGUF file",
                       false);
    options.option("--text", options_.text, "UTF-8 text to run (default: embedded prose)");
    options.option("-o,--out", options_.out,
                   "output file: .gguf, .dat for older tools, .safetensors for all statistics");
    options.option("--chunk", options_.chunk, "tokens per chunk (0 = 512, or the model's context)");
    options.option("--chunks", options_.chunks, "number of chunks (0 = all)");
    options.flag("--process-output", options_.process_output,
                 "an entry for the head too (in tied models: for the embedding)");
    options.size("--memory-limit", options_.memory_limit,
                 "keep resident memory below SIZE (default: what is available)");
    options.flag("-f,--force", options_.force, "replace an existing output");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    if (options_.checkpoint.empty()) {
      return fail(usage_error("collecting an importance matrix")
                      .expects("a checkpoint, or one of: merge, show")
                      .advise("quantlane imatrix --help"));
    }
    if (options_.out.empty()) {
      return fail(
          usage_error("collecting an importance matrix").expects("an output: -o FILE.gguf"));
    }
    const auto result = collect_imatrix(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    print_imatrix(*result, io);
    if (!io.json && result->seconds > 0) {
      print_line(fmt::format("{:<12} {:.2f} s ({:.0f} tok/s)", "time", result->seconds,
                             static_cast<double>(result->tokens) / result->seconds));
    }
    return ExitCode::kOk;
  }
  ImatrixOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_imatrix() { return std::make_unique<CollectImatrix>(); }

}  // namespace quantlane::cli
