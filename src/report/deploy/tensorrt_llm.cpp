// TensorRT-LLM, its PyTorch backend (trtllm-serve).
#include "report/deploy/tensorrt_llm.h"

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

// What its reader of config.json and hf_quant_config.json maps to a kernel of its own.
bool maps(const Artefact& artefact, const LinearScheme& scheme) {
  const bool fp8 = scheme.weight.type == ValueType::kFloat && scheme.weight.bits == 8;
  const bool fp4 = scheme.weight.type == ValueType::kFloat && scheme.weight.bits == 4;
  if (artefact.dialect == "modelopt") return fp8 || fp4;
  if (artefact.dialect == "fp8") {
    return scheme.weight.granularity == Granularity::kBlock && scheme.weight.group_size == 128 &&
           scheme.weight.block_rows == 128;
  }
  if (artefact.dialect != "compressed-tensors") return false;
  return fp4 || (fp8 && scheme.weight.granularity != Granularity::kTensor);
}

std::optional<Refusal> cannot_load(const Artefact& artefact) {
  if (artefact.gguf) return needs_folder(artefact, "TensorRT-LLM");
  if (artefact.dialect.empty()) return std::nullopt;
  for (const LinearScheme& scheme : artefact.schemes) {
    if (maps(artefact, scheme)) continue;
    // INT8 in compressed-tensors would be taken for FP8: wrong numbers without an error.
    return Refusal{.expected =
                       "FP8 per channel or in blocks of 128 x 128, NVFP4 or MXFP4, which "
                       "TensorRT-LLM maps to kernels",
                   .found = scheme.weight.spelling() + " stored as " + artefact.dialect,
                   .advice = "make the lane fp8, or serve this one with vLLM"};
  }
  return std::nullopt;
}

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  ShellCommand command{
      .comments = {"Needs TensorRT-LLM 1.x. For N GPUs add: --tp_size N"},
      .words = {"trtllm-serve", artefact.path.string()},
      .options = {{"--backend", "pytorch"}, {"--max_seq_len", fmt::format("{}", wishes.context)}}};
  if (wishes.concurrency > 0) {
    command.options.push_back({"--max_batch_size", fmt::format("{}", wishes.concurrency)});
  }
  Deployment deployment{.text = command.text(), .notices = {}};
  if (artefact.chat_template.empty()) {
    deployment.notices.emplace_back(
        "the artefact has no chat template: only /v1/completions works");
  }
  return deployment;
}

}  // namespace

constinit const DeployTarget kTensorRtLlm = {
    .name = "tensorrt-llm",
    .product = "TensorRT-LLM",
    .file_name = "serve.sh",
    .script = true,
    .schema = "trtllm-serve, nvidia.github.io/TensorRT-LLM",
    .cannot_load = cannot_load,
    .write = write,
};

}  // namespace quantlane
