#include <fmt/format.h>

#include "cli/command.h"
#include "quantlane/adapters.h"

namespace quantlane::cli {
namespace {

void print_merged(const MergeResult& result) {
  print_line(fmt::format("{:<52} {:>5} {:>8} {:>10} {:>10} {:>9}", "parameter", "rank", "scale",
                         "norm", "change", "rounding"));
  for (const MergedParameter& row : result.parameters) {
    print_line(fmt::format("{:<52} {:>5} {:>8.4g} {:>10.4g} {:>8.3f} % {:>7.2f} %", row.name,
                           row.rank == 0 ? "whole" : std::to_string(row.rank), row.scale,
                           row.weight_norm, 100 * row.change, 100 * row.rounding));
  }
  print_line(fmt::format("{} of {} tensors of the adapter ({}) used, {} parameters changed",
                         result.tensors, result.tensors, result.adapter_format,
                         result.parameters.size()));
  print_line(fmt::format("artefact     {}", result.artifact.string()));
  print_line(fmt::format("type         {}", result.type));
  print_line(fmt::format("size         {:.1f} MB", static_cast<double>(result.size_bytes) / 1e6));
}

class MergeLora final : public Command {
  [[nodiscard]] std::string_view name() const override { return "merge-lora"; }
  [[nodiscard]] std::string_view summary() const override {
    return "an adapter (LoRA, DoRA) into its base, with an account of every tensor";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane merge-lora ./model ./adapter -o ./merged\n"
           "  quantlane merge-lora ./model lora.gguf -o merged.gguf --to f16\n"
           "\nColumns: norm of the base's weight; change: norm of what is added, relative to it;\n"
           "rounding: error of storing the sum, relative to the change.\n";
  }
  void declare(Options& options) override {
    options.positional("base", options_.base, "Hugging Face folder or GGUF file", true);
    options.positional("adapter", options_.adapter, "PEFT or MLX folder, or GGUF file", true);
    options.option("-o,--out", options_.out, "output folder, or file ending in .gguf");
    options.option("--to", options_.type, "f32, f16 or bf16 (default: as the base)");
    options.flag("-f,--force", options_.force, "replace an existing output");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    if (options_.out.empty()) return fail(usage_error("merging").expects("an output: -o PATH"));
    const auto result = merge_adapter(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    if (io.json) {
      print_line(to_json(*result));
    } else {
      print_merged(*result);
    }
    return ExitCode::kOk;
  }
  MergeOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_merge_lora() { return std::make_unique<MergeLora>(); }

}  // namespace quantlane::cli
