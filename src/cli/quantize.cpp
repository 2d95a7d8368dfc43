#include "quantlane/quantize.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/quantize_output.h"

namespace quantlane::cli {

void print_quantized(const QuantizeResult& result, const Io& io) {
  if (io.json) {
    print_line(to_json(result));
    return;
  }
  const double rate =
      result.seconds > 0 ? static_cast<double>(result.source_bytes) / result.seconds / 1e6 : 0;
  print_line(fmt::format("{:<12} {}", "artefact", result.artifact.string()));
  print_line(fmt::format("{:<12} {}", "format", result.format));
  print_line(fmt::format("{:<12} {:.1f} MB, {:.3f} bits per weight", "size",
                         static_cast<double>(result.size_bytes) / 1e6, result.bits_per_weight));
  print_line(
      fmt::format("{:<12} {:.2f} s ({:.0f} MB/s of the source)", "time", result.seconds, rate));
}

namespace {

std::string lane_help() {
  std::string text = "\nLanes:\n";
  for (const auto& [lane, summary] : list_lanes())
    text += fmt::format("  {:<14} {}\n", lane, summary);
  return text;
}

class Quantize final : public Command {
  [[nodiscard]] std::string_view name() const override { return "quantize"; }
  [[nodiscard]] std::string_view summary() const override {
    return "one lane of a checkpoint to one artefact";
  }
  [[nodiscard]] std::string_view examples() const override {
    static const std::string text =
        "  quantlane quantize ./model fp8 -o ./model-fp8\n"
        "  quantlane quantize ./model gguf:q4_k_m -o model-q4_k_m.gguf\n"
        "  quantlane quantize ./unknown-arch w8a8 -o out --arch-agnostic\n" +
        lane_help();
    return text;
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint,
                       "Hugging Face folder or GGUF file, not quantized", true);
    options.positional("lane", options_.lane, "what to make (list below)", true);
    options.option("-o,--out", options_.out, "output folder, or file ending in .gguf");
    options.option("--calibration-text", options_.calibration_text,
                   "UTF-8 text to calibrate on (default: embedded prose)");
    options.option("--calibration-chunks", options_.calibration_chunks,
                   "chunks of 512 tokens to calibrate on (0 = all)");
    options.option("--statistics", options_.statistics,
                   "statistics of an earlier calibration instead");
    options.flag("--data-free", options_.data_free,
                 "no calibration: all input columns count the same");
    options.flag("--arch-agnostic", options_.arch_agnostic,
                 "unknown architecture: choose matrices by name");
    options.flag("-f,--force", options_.force, "replace an existing output");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    if (options_.out.empty()) return fail(usage_error("quantizing").expects("an output: -o PATH"));
    const auto result = quantize_checkpoint(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    print_quantized(*result, io);
    return ExitCode::kOk;
  }
  QuantizeOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<Quantize>(); }

}  // namespace quantlane::cli
