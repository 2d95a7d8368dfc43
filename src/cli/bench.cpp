#include <string>
#include <string_view>

#include <fmt/format.h>

#include "cli/command.h"
#include "quantlane/benchmark.h"

namespace quantlane::cli {
namespace {

class Bench final : public Command {
  [[nodiscard]] std::string_view name() const override { return "bench"; }
  [[nodiscard]] std::string_view summary() const override {
    return "prefill and decode speed and peak memory on this machine";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane bench ./model --prefill 512 --decode 64 --threads 2 --json\n";
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint, "Hugging Face folder or GGUF file", true);
    options.option("--prefill", options_.prefill, "tokens of the prompt");
    options.option("--decode", options_.decode, "tokens generated after it");
    options.option("--repeats", options_.repeats, "runs; the best counts");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    const auto result = run_benchmark(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    if (io.json) {
      print_line(to_json(*result));
      return ExitCode::kOk;
    }
    print_rate("prefill", result->prefill_tok_s, result->prefill_slowest_tok_s);
    print_rate("decode", result->decode_tok_s, result->decode_slowest_tok_s);
    print_line(fmt::format("{:<12} {:.1f} MB", "peak memory",
                           static_cast<double>(result->peak_rss_bytes) / 1e6));
    print_line(fmt::format("{:<12} {}", "threads", result->threads));
    return ExitCode::kOk;
  }
  void print_rate(std::string_view name, double fastest, double slowest) const {
    constexpr double kCalm = 0.1;  // runs of an idle machine differ by less
    std::string line = fmt::format("{:<12} {:.1f} tok/s", name, fastest);
    if (options_.repeats > 1) {
      line += fmt::format(", the slowest of {} runs {:.1f}", options_.repeats, slowest);
      if (slowest < (1 - kCalm) * fastest) line += ": other work may have slowed all of them";
    }
    print_line(line);
  }

  BenchOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_bench() { return std::make_unique<Bench>(); }

}  // namespace quantlane::cli
