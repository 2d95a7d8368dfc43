#include "cli/command.h"
#include "cli/quantize_output.h"
#include "quantlane/quantize.h"

namespace quantlane::cli {
namespace {

class Convert final : public Command {
  [[nodiscard]] std::string_view name() const override { return "convert"; }
  [[nodiscard]] std::string_view summary() const override {
    return "dequantize to a folder or a GGUF file, or change the container";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane convert model-q4_k_m.gguf ./model-f32 --to f32\n"
           "  quantlane convert ./model model-bf16.gguf --to bf16\n";
  }
  void declare(Options& options) override {
    options.positional("input", options_.checkpoint, "Hugging Face folder or GGUF file", true);
    options.positional("output", options_.out, "folder, or file ending in .gguf", true);
    options.option("--to", options_.type, "f32, f16 or bf16");
    options.flag("-f,--force", options_.force, "replace an existing output");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    const auto result = convert_checkpoint(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    print_quantized(*result, io);
    return ExitCode::kOk;
  }
  ConvertOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_convert() { return std::make_unique<Convert>(); }

}  // namespace quantlane::cli
