#include "cli/command.h"
#include "cli/quantize_output.h"
#include "quantlane/quantize.h"

namespace quantlane::cli {
namespace {

class Convert final : public Command {
  [[nodiscard]] std::string_view name() const override { return "convert"; }
  [[nodiscard]] std::string_view summary() const override {
    return "change the container or the files, keeping codes or dequantizing";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane convert model-q4_k_m.gguf ./model-f32 --to f32\n"
           "  quantlane convert ./model model-bf16.gguf --to bf16\n"
           "  quantlane convert ./model-w4a16 model-q4_0.gguf --to same\n"
           "  quantlane convert ./model-awq ./model-compressed-tensors --to w4a16-asym\n"
           "  quantlane convert model-00001-of-00003.gguf model.gguf --to same\n";
  }
  void declare(Options& options) override {
    options.positional("input", options_.checkpoint, "Hugging Face folder or GGUF file", true);
    options.positional("output", options_.out, "folder, or file ending in .gguf", true);
    options.option("--to", options_.type,
                   "f32, f16 or bf16; same: matrices as they are, codes in the GGUF type that "
                   "holds them; or a lane of folders (gptq, awq, w4a16 …): the same codes in its "
                   "dialect");
    declare_split(options, options_.split);
    options.option("--kv", options_.kv,
                   "none: leave out the key-value cache scheme of the source (default: it goes on "
                   "where the files have a place for it)");
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
