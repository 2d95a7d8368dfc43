// Artefacts for the tests of deploy targets.
#pragma once
#include "core/file.h"
#include "report/deploy/deploy.h"

namespace quantlane::test {

inline std::string chat_source(const std::string& file) {
  return read_text(fs::path(QUANTLANE_SOURCE_DIR) / "tests/data/chat" / file).value();
}

inline Artefact gguf_artefact() {
  return {.path = "/models/Tiny Llama.gguf",
          .name = "Tiny Llama",
          .gguf = true,
          .architecture = "llama",
          .family = "llama",
          .context_length = 2048,
          .parameters = 6'820'000,
          .size_bytes = 4'360'000,
          .kv_bytes_per_token = 3072,
          .types = {"q4_k", "q6_k"},
          .chat_template = chat_source("chatml.jinja"),
          .bos_text = "<|im_start|>",
          .stop_texts = {"<|im_end|>"}};
}

inline Artefact folder_artefact(const std::string& dialect, const std::string& scheme) {
  Artefact artefact = gguf_artefact();
  artefact.path = "/models/tiny";
  artefact.name = "tiny";
  artefact.gguf = false;
  artefact.architecture = "LlamaForCausalLM";
  artefact.dialect = dialect;
  artefact.types = {"bf16"};
  if (!dialect.empty()) {
    artefact.schemes.push_back({.weight = Scheme::parse(scheme).value(), .input = std::nullopt});
    artefact.types = {scheme};
  }
  return artefact;
}

inline Result<Deployment> deploy_for(std::string_view name, const Artefact& artefact,
                                     DeployWishes wishes = {}) {
  return deploy(*deploy_target_by_name(name), artefact, wishes);
}

}  // namespace quantlane::test
