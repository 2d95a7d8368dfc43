#include <fmt/format.h>

#include "cli/command.h"
#include "quantlane/checkpoint.h"

namespace quantlane::cli {
namespace {

constexpr std::size_t kTensorsShown = 12;

void print_pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  for (const auto& [key, value] : pairs) print_line(fmt::format("  {:<34} {}", key, value));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

class Inspect final : public Command {
  [[nodiscard]] std::string_view name() const override { return "inspect"; }
  [[nodiscard]] std::string_view summary() const override {
    return "what is in a checkpoint; finds damaged tensors";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane inspect ./model\n"
           "  quantlane inspect model.gguf --all --no-verify\n"
           "  quantlane inspect ./model --json\n";
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint, "Hugging Face folder or GGUF file", true);
    options.flag("--all", all_, "list every tensor");
    options.flag("--no-verify", no_verify_, "headers only: do not read the tensors");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    options_.verify = !no_verify_;
    const auto result = inspect_checkpoint(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    if (io.json) {
      print_line(to_json(*result));
    } else {
      print(*result);
    }
    return result->problems.empty() ? ExitCode::kOk : ExitCode::kError;
  }

  void print(const InspectResult& result) const {
    print_line(result.path.string());
    print_pairs(
        {{"container", result.container},
         {"architecture", result.architecture.empty() ? "unknown" : result.architecture},
         {"stored as", result.dialect},
         {"parameters", fmt::format("{:.1f} M", static_cast<double>(result.parameters) / 1e6)},
         {"size",
          fmt::format("{:.1f} MB, {:.2f} bits per weight",
                      static_cast<double>(result.size_bytes) / 1e6, result.bits_per_weight)},
         {"tokenizer", result.tokenizer}});
    if (!result.configuration.empty()) print_line("configuration");
    print_pairs(result.configuration);
    if (!result.metadata.empty()) print_line("metadata");
    print_pairs(result.metadata);
    print_line(fmt::format("{} tensors", result.tensors.size()));
    const std::size_t shown =
        all_ ? result.tensors.size() : std::min(kTensorsShown, result.tensors.size());
    for (std::size_t i = 0; i < shown; ++i) {
      const TensorSummary& tensor = result.tensors[i];
      print_line(fmt::format("  {:<52} {:<8} {:<16} {:>9.2f} MB", tensor.name, tensor.type,
                             shape_text(tensor.shape),
                             static_cast<double>(tensor.size_bytes) / 1e6));
    }
    if (shown < result.tensors.size())
      print_line(fmt::format("  … {} more (--all lists them)", result.tensors.size() - shown));
    print_line(result.problems.empty() ? "no problems found" : "problems");
    for (const std::string& problem : result.problems) print_line("  " + problem);
  }

  InspectOptions options_;
  bool all_ = false;
  bool no_verify_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace quantlane::cli
