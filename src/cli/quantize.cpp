#include "quantlane/quantize.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/quantize_output.h"

namespace quantlane::cli {

namespace {

void print_plan(const QuantizePlan& plan) {
  for (const TensorSummary& tensor : plan.tensors) {
    print_line(fmt::format("{:<52} {:<16} {:<8} {:>12.2f} MB", tensor.name,
                           shape_text(tensor.shape), tensor.type,
                           static_cast<double>(tensor.size_bytes) / 1e6));
  }
  print_line(fmt::format("{:<52} {:<16} {:<8} {:>12.2f} MB, {:.3f} bits per weight", plan.lane,
                         fmt::format("{} tensors", plan.tensors.size()),
                         plan.files == 1 ? "total" : fmt::format("{} files", plan.files),
                         static_cast<double>(plan.size_bytes) / 1e6, plan.bits_per_weight));
}

std::string lane_help() {
  std::string text = "\nLanes:\n";
  for (const auto& [lane, summary] : list_lanes())
    text += fmt::format("  {:<16} {}\n", lane, summary);
  text += "\nOther widths and groups of weights, spelled out (w3a16-g64, gptq-int8-channel):\n";
  for (const std::string& line : list_lane_variants()) text += "  " + line + "\n";
  text +=
      "\nAfter the name of a lane, how its numbers are chosen (w4a16+awq+gptq, "
      "gguf:q4_k_m+gptq):\n";
  for (const auto& [suffix, summary] : list_lane_options())
    text += fmt::format("  {:<16} {}\n", suffix, summary);
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
        "  quantlane quantize ./model gguf:q4_k_m -o model.gguf --tensor-type attn_v=q8_0\n"
        "  quantlane quantize ./model w4a16 -o ./model-mixed --tensor-type down_proj=w8a16\n"
        "  quantlane quantize ./model gguf:iq4_xs --dry-run\n"
        "  quantlane quantize ./model gguf:q4_k_m -o model.gguf --target-size 4.5GiB\n"
        "  quantlane quantize ./model gguf:q4_k_m -o model.gguf --imatrix imatrix.gguf\n"
        "  quantlane quantize ./model fp8 -o ./model-fp8 --kv fp8 --engine vllm --gpu h100-sxm\n"
        "  quantlane quantize ./model w4a16+gptq -o ./model-w4a16 --memory-limit 6GiB\n"
        "  quantlane quantize ./unknown-arch w8a8 -o out --arch-agnostic\n" +
        lane_help();
    return text;
  }
  void declare(Options& options) override {
    options.positional("checkpoint", options_.checkpoint, "Hugging Face folder or GGUF file", true);
    options.positional("lane", options_.lane, "what to make (list below)", true);
    options.option("-o,--out", options_.out, "output folder, or file ending in .gguf");
    options.option("--calibration-text", options_.calibration_text,
                   "UTF-8 text to calibrate on (default: embedded prose)");
    options.option("--calibration-chunks", options_.calibration_chunks,
                   "chunks of 512 tokens to calibrate on (0 = all)");
    options.option("--statistics", options_.statistics,
                   "statistics of an earlier calibration (imatrix -o FILE.safetensors) instead");
    options.option("--imatrix", options_.imatrix,
                   "importance matrix (.gguf, .dat, .safetensors) instead; GGUF lanes");
    options.option("--adapter", options_.adapter,
                   "LoRA to merge first (PEFT or MLX folder, GGUF file)");
    options.flag("--data-free", options_.data_free,
                 "no calibration: all input columns count the same");
    options.flag("--force-unweighted", options_.force_unweighted,
                 "write types that need importances without any");
    options.flag("--arch-agnostic", options_.arch_agnostic,
                 "unknown architecture: choose matrices by name");
    declare_gguf(options);
    options.option(
        "--kv", options_.kv,
        "write the scheme of the key-value cache with its calibrated scales (fp8, fp8_head) or "
        "alone (int8, int4); none: leave out that of the source");
    options.option("--engine", options_.engine,
                   "refuse what this engine will not load: vllm, sglang, tgi, tensorrt-llm, "
                   "llama.cpp, ollama, lmstudio, localai");
    options.option("--gpu", options_.gpu, "the device that the engine runs on (data/hardware)");
    options.option("--tp", options_.tensor_parallel, "ranks of tensor parallelism");
    options.option("--engine-version", options_.engine_version, "version of the engine");
    options.flag("--allow-requantize", options_.allow_requantize,
                 "new codes for a quantized source where the lane cannot take its own");
    options.size("--memory-limit", options_.memory_limit,
                 "keep resident memory below SIZE, hidden states on disk where needed "
                 "(default: what is available)");
    options.flag("--dry-run", dry_run_, "print type and size of each tensor, write nothing");
    options.flag("-f,--force", options_.force, "replace an existing output");
    for (const char* name : {"--gpu", "--tp", "--engine-version"}) options.needs(name, "--engine");
    options.option("-t,--threads", options_.threads, "worker threads (0 = all usable cores)");
  }
  void declare_gguf(Options& options) {
    GgufOptions& gguf = options_.gguf;
    options.repeated(
        "--tensor-type", gguf.tensor_types,
        "PATTERN=TYPE for GGUF tensors, PATTERN=LANE or PATTERN=keep for Linears of a folder, in "
        "whose name PATTERN is found; repeatable, the first match wins");
    options.option("--output-type", gguf.output_type, "type of the output matrix (GGUF)");
    options.option("--token-embedding-type", gguf.token_embedding_type,
                   "type of the token embeddings (GGUF)");
    options.flag("--pure", gguf.pure, "the base type for every matrix, no mixture (GGUF)");
    options.size("--target-size", gguf.target_size,
                 "a type for each matrix so that the file has at most SIZE (GGUF)");
    options.option(
        "--target-bpw", gguf.target_bpw,
        "the same, in bits per weight: 4.25 (gguf:best-4.25bpw: with error feedback, too)");
    declare_split(options, gguf.split);
  }
  Result<ExitCode> run(const Io& io) override {
    if (dry_run_) return plan(io);
    if (options_.out.empty()) return fail(usage_error("quantizing").expects("an output: -o PATH"));
    const auto result = quantize_checkpoint(options_, io.progress);
    if (!result) return std::unexpected(result.error());
    print_quantized(*result, io);
    return ExitCode::kOk;
  }
  Result<ExitCode> plan(const Io& io) const {
    const auto plan = plan_quantization(options_, io.progress);
    if (!plan) return std::unexpected(plan.error());
    for (const std::string& notice : plan->notices) io.progress.notice(plan->lane + ": " + notice);
    if (io.json) {
      print_line(to_json(*plan));
    } else {
      print_plan(*plan);
    }
    return ExitCode::kOk;
  }
  QuantizeOptions options_;
  bool dry_run_ = false;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<Quantize>(); }

}  // namespace quantlane::cli
