#include "quantlane/compare.h"

#include <algorithm>

#include "cli/command.h"

namespace quantlane::cli {
namespace {

ExitCode exit_code_of(const CompareReport& report) {
  const bool ships = std::ranges::any_of(
      report.lanes, [](const LaneReport& lane) { return lane.verdict == Verdict::kShip; });
  if (ships) return report.pick.lane.empty() ? ExitCode::kInfeasible : ExitCode::kOk;
  const bool open = std::ranges::any_of(
      report.lanes, [](const LaneReport& lane) { return lane.verdict == Verdict::kInconclusive; });
  return open ? ExitCode::kInconclusive : ExitCode::kGateFailed;
}

class Compare final : public Command {
  [[nodiscard]] std::string_view name() const override { return "compare"; }
  [[nodiscard]] std::string_view summary() const override {
    return "quantize every lane, measure accuracy, speed and memory, say which to ship";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane compare                                  # the embedded model, six lanes\n"
           "  quantlane compare ./Qwen3-0.6B --hw rtx-4090 --out report\n"
           "  quantlane compare ./model --lanes fp8,gguf:q4_k_m --workload my_prompts.jsonl\n"
           "  quantlane compare ./model --lanes ./model-gptq,w4a16 --kv fp8,int4\n";
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint,
                       "Hugging Face folder or GGUF file (default: the embedded model)", false);
    options.option("--lanes", options_.lanes,
                   "lanes to make, or paths of artefacts that exist (default: "
                   "fp8,w8a8,w4a16,gguf:q8_0,gguf:q6_k,gguf:q4_k_m)");
    options.option("--kv", options_.kv,
                   "key-value caches to measure with the reference's weights: "
                   "fp8,fp8_head,int8,int4");
    options.option("--workload", options_.workload,
                   "JSONL of {\"prompt\",\"answer\"}, or a folder of them (default: CKPT/tasks)");
    options.option("--text", options_.text, "UTF-8 text to evaluate on (default: embedded prose)");
    options.option("--calibration-text", options_.calibration_text,
                   "UTF-8 text to calibrate on (default: embedded prose)");
    options.option("--imatrix", options_.imatrix,
                   "importance matrix (.gguf, .dat) for the GGUF lanes instead of calibrating");
    options.option("--adapter", options_.adapter,
                   "LoRA merged into the reference (PEFT or MLX folder, GGUF file)");
    options.option("--hw", options_.target,
                   "hardware to pick for: this-machine, h100-sxm, rtx-4090, m3-max, …");
    options.option("--engine", options_.engine,
                   "pick only what this engine loads: vllm, sglang, tgi, tensorrt-llm, llama.cpp, "
                   "ollama, lmstudio, localai");
    options.option("--engine-version", options_.engine_version, "version of the engine");
    options.option("--tp", options_.tensor_parallel, "ranks of tensor parallelism");
    options.option("-o,--out", options_.out, "folder for report and artefacts");
    options.option("--chunk", options_.chunk, "tokens per chunk; the second half is scored");
    options.option("--chunks", options_.chunks,
                   "chunks to evaluate (0 = 40, or what the text has)");
    options.option("--task-items", options_.task_items, "items of each task set (0 = all)");
    options.option("--margin", options_.margins, "acceptable losses, for example kld=0.05,tasks=1");
    options.option("--context", options_.context,
                   "tokens of context in production, for memory and projection (0 = 4096, or what "
                   "the model reads)");
    options.option("--concurrency", options_.concurrency, "simultaneous requests in production");
    options.needs("--engine-version", "--engine");
    options.size("--memory-limit", options_.memory_limit,
                 "keep resident memory below SIZE, models read layer by layer "
                 "(default: what is available)");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
    options.flag("--fresh", options_.fresh, "measure again even where finished work fits");
  }
  Result<ExitCode> run(const Io& io) override {
    options_.command = io.command;
    const auto report = compare(options_, io.progress);
    if (!report) return std::unexpected(report.error());
    if (io.json) {
      print_line(to_json(*report));
    } else {
      print_line(to_table(*report, io.width, io.color));
      print_line("report: " + (options_.out / "report.html").string());
    }
    return exit_code_of(*report);
  }
  CompareOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_compare() { return std::make_unique<Compare>(); }

}  // namespace quantlane::cli
