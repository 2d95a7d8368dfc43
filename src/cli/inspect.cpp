#include <fmt/format.h>

#include "cli/command.h"
#include "quantlane/checkpoint.h"
#include "quantlane/preflight.h"

namespace quantlane::cli {
namespace {

constexpr std::size_t kTensorsShown = 12;

// Terminals obey control bytes.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return out;
}

void print_pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  for (const auto& [key, value] : pairs)
    print_line(fmt::format("  {:<34} {}", escaped(key), escaped(value)));
}

// "42 x int4_g128_sym, 6 x int8_channel_sym".
std::string counts_text(const std::vector<SchemeCount>& rows) {
  std::string text;
  for (const SchemeCount& row : rows)
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", row.linears, row.scheme);
  return text;
}

class Inspect final : public Command {
  [[nodiscard]] std::string_view name() const override { return "inspect"; }
  [[nodiscard]] std::string_view summary() const override {
    return "what is in a checkpoint; finds damaged tensors";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane inspect ./model\n"
           "  quantlane inspect model.gguf --all --no-verify\n"
           "  quantlane inspect ./model --json\n"
           "  quantlane inspect ./model-w4a16 --engine vllm --gpu h100-sxm --tp 4  # will it "
           "load?\n";
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint, "Hugging Face folder or GGUF file", true);
    options.flag("--all", all_, "list every tensor");
    options.flag("--no-verify", no_verify_, "headers only: do not read the tensors");
    options.option("--engine", preflight_.engine,
                   "will it load? vllm, sglang, tgi, tensorrt-llm, llama.cpp, ollama, lmstudio, "
                   "localai");
    options.option(
        "--gpu", preflight_.gpu,
        "device of the engine: h100-sxm, rtx-4090, … (default: none, rules about devices "
        "left out)");
    options.option("--tp", preflight_.tensor_parallel, "ranks of tensor parallelism");
    options.option("--engine-version", preflight_.engine_version,
                   "version of the engine (default: the one whose rules are known)");
    options.option("--online", preflight_.online,
                   "scheme that the engine is to make while it loads (its --quantization, TGI: "
                   "--quantize)");
    for (const char* name : {"--gpu", "--tp", "--engine-version", "--online"})
      options.needs(name, "--engine");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    if (!preflight_.engine.empty()) return run_preflight(io);
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

  Result<ExitCode> run_preflight(const Io& io) {
    preflight_.checkpoint = options_.checkpoint;
    preflight_.read_values = !no_verify_;
    const auto answer = check_engine(preflight_);
    if (!answer) return std::unexpected(answer.error());
    if (io.json) {
      print_line(to_json(*answer));
    } else {
      print_preflight(*answer);
    }
    return answer->usable() ? ExitCode::kOk : ExitCode::kInfeasible;
  }

  static void print_preflight(const PreflightAnswer& answer) {
    print_line(fmt::format(
        "{} {}{}{}: {}", answer.engine, answer.version,
        answer.device.empty() ? "" : " on " + answer.device,
        answer.tensor_parallel > 1 ? fmt::format(", {} ranks", answer.tensor_parallel) : "",
        preflight_answer_name(answer.worst)));
    for (const PreflightFinding& finding : answer.findings) {
      const bool note = finding.effect == PreflightEffect::kNote;
      print_line(fmt::format("  {}: {} [{}]", note ? "note" : preflight_answer_name(finding.effect),
                             finding.text, finding.rule));
      print_line("    found:   " + finding.detail);
      if (!finding.advice.empty()) print_line("    try:     " + finding.advice);
      print_line("    source:  " + finding.source);
    }
    print_line(fmt::format("{} rules of {} asked (docs/preflight.md)", answer.rules_checked,
                           answer.engine));
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
    if (!result.schemes.weights.empty()) {
      print_line("schemes");
      print_pairs({{"weights", counts_text(result.schemes.weights)},
                   {"inputs", counts_text(result.schemes.inputs)},
                   {"key-value cache", result.schemes.kv_cache}});
    }
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
  PreflightOptions preflight_;
  bool all_ = false;
  bool no_verify_ = false;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace quantlane::cli
