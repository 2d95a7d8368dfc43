#include <fmt/format.h>

#include "cli/command.h"
#include "quantlane/evaluate.h"

namespace quantlane::cli {
namespace {

void print_interval(std::string_view label, const Interval& interval) {
  print_line(fmt::format("{:<16} {:.5f}   95 % [{:.5f}, {:.5f}]", label, interval.value,
                         interval.low, interval.high));
}

class Eval final : public Command {
  [[nodiscard]] std::string_view name() const override { return "eval"; }
  [[nodiscard]] std::string_view summary() const override {
    return "perplexity of a text, alone or paired with a reference; or raw logits";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane eval ./model --text wiki.test.raw --chunk 512 --chunks 40\n"
           "  quantlane eval ./model-w4a16 --text wiki.test.raw --reference ./model --json\n"
           "  quantlane eval ./model --reference ./model --kv fp8   # what the cache alone costs\n"
           "  quantlane eval ./model --ids ids.json --logits out.npy   # float32 [tokens, vocab]\n";
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint, "Hugging Face folder or GGUF file", true);
    options.option("--text", options_.text, "UTF-8 text (default: embedded prose)");
    options.option("--reference", options_.reference,
                   "checkpoint to compare with on the same tokens");
    options.option("--arithmetic", arithmetic_,
                   "inputs of products: float (the weights' own error) or engine (rounded as "
                   "llama.cpp does; GGUF); default: float, with --reference both");
    options.option("--chunk", options_.chunk, "tokens per chunk; the second half is scored");
    options.option("--chunks", options_.chunks, "number of chunks (0 = all)");
    options.option("--stride", options_.stride,
                   "score sliding windows of --chunk tokens, this many new ones each");
    options.option(
        "--kv", options_.kv,
        "round keys and values as an engine's cache does: none, fp8, fp8_head, int8, int4 "
        "(default: as the checkpoint says)");
    options.option("--ids", ids_, "JSON array of token ids, with --logits");
    options.option("--logits", logits_, "write the logits of --ids to this .npy file");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    if (ids_ || logits_) return run_logits(io);
    if (arithmetic_ == "engine") {
      options_.arithmetic = Arithmetic::kEngine;
    } else if (arithmetic_ == "float") {
      options_.arithmetic = Arithmetic::kFloat;
    } else if (!arithmetic_.empty()) {
      return fail(usage_error("choosing the arithmetic")
                      .expects("--arithmetic float or engine")
                      .got(arithmetic_));
    }
    const auto result = evaluate_text(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    if (io.json) {
      print_line(to_json(*result));
      return ExitCode::kOk;
    }
    print_line(fmt::format("{:<16} {:.4f}", "perplexity", result->ppl));
    print_line(fmt::format("{:<16} {:.6f} nats per token", "nll", result->nll));
    print_line(fmt::format("{:<16} {}", "tokens scored", result->tokens_scored));
    if (!result->kv.empty()) print_line(fmt::format("{:<16} {}", "kv cache", result->kv));
    if (result->divergence) print_divergence(*result->divergence);
    if (result->engine) {
      print_line("with llama.cpp's own arithmetic (inputs of products rounded as its kernels do)");
      print_line(fmt::format("{:<16} {:.4f}", "perplexity", result->engine->ppl));
      print_divergence(result->engine->divergence);
    }
    return ExitCode::kOk;
  }

  Result<ExitCode> run_logits(const Io& io) {
    if (!ids_ || !logits_) {
      return fail(usage_error("writing logits").expects("both --ids and --logits"));
    }
    const auto written = write_logits(options_.checkpoint, *ids_, *logits_, options_.threads);
    if (!written) return std::unexpected(written.error());
    print_line(io.json ? to_json(*written) : written->path.string());
    return ExitCode::kOk;
  }

  static void print_divergence(const Divergence& divergence) {
    print_interval("ppl ratio", divergence.ppl_ratio);
    print_interval("KLD mean", divergence.kld_mean);
    print_line(fmt::format("{:<16} {:.5f}", "KLD 99 %", divergence.kld_p99));
    print_line(fmt::format("{:<16} {:.5f}", "KLD max", divergence.kld_max));
    print_interval("top-1 agreement", divergence.top1_agreement);
    print_line(fmt::format("{:<16} {}", "flips", divergence.flips));
    print_interval("RMS dp", divergence.rms_delta_p);
  }

  EvalOptions options_;
  std::string arithmetic_;
  std::optional<std::filesystem::path> ids_;
  std::optional<std::filesystem::path> logits_;
};

}  // namespace

std::unique_ptr<Command> make_eval() { return std::make_unique<Eval>(); }

}  // namespace quantlane::cli
