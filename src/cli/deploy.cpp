#include "quantlane/deploy.h"

#include <fmt/format.h>

#include "cli/command.h"

namespace quantlane::cli {
namespace {

std::string target_help() {
  std::string text = "\nProducts:\n";
  for (const DeployTargetName& target : list_deploy_targets()) {
    text += fmt::format("  {:<14} {:<14} {}\n", target.name, target.product, target.file_name);
  }
  return text;
}

class Deploy final : public Command {
  [[nodiscard]] std::string_view name() const override { return "deploy"; }
  [[nodiscard]] std::string_view summary() const override {
    return "the file or command with which a product serves an artefact";
  }
  [[nodiscard]] std::string_view examples() const override {
    static const std::string text =
        "  quantlane deploy model-q4_k_m.gguf --for ollama -o deploy\n"
        "  quantlane deploy model-q4_k_m.gguf --for llama-server --concurrency 4\n"
        "  quantlane deploy ./model-fp8 --for vllm --context 8192 -o deploy\n" +
        target_help();
    return text;
  }
  void declare(Options& options) override {
    options.positional("artefact", options_.artefact, "Hugging Face folder or GGUF file", true);
    options.option("--for", options_.target, "the product (list below)");
    options.option("-o,--out", options_.out, "folder for the file; without it, it is printed");
    options.option("--context", options_.context,
                   "tokens of one request, prompt and answer (0 = the artefact's)");
    options.option("--concurrency", options_.concurrency,
                   "requests in flight (0 = the product's default)");
    options.flag("-f,--force", options_.force, "replace a file of an earlier call");
  }
  Result<ExitCode> run(const Io& io) override {
    const auto result = make_deployment(options_);
    if (!result) return std::unexpected(result.error());
    for (const std::string& notice : result->notices) io.progress.notice(notice);
    if (io.json) {
      print_line(to_json(*result));
    } else if (!result->file.empty()) {
      print_line(result->file.string());
    } else {
      print_line(result->text.substr(0, result->text.find_last_not_of('\n') + 1));
    }
    return ExitCode::kOk;
  }
  DeployOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_deploy() { return std::make_unique<Deploy>(); }

}  // namespace quantlane::cli
