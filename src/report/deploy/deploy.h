// What a product needs beside an artefact to serve it: a Modelfile, a YAML file, a command. One
// file pair and one row in deploy_targets() each.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/dialects/dialect.h"
#include "model/chat/chat_turns.h"
#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

// An artefact in the terms of the products; everything is read from it.
struct Artefact {
  std::filesystem::path path = {};  // absolute; of a split GGUF the first file
  std::string name = {};            // of the file without ".gguf", or of the folder
  bool gguf = false;                // else a Hugging Face folder
  std::size_t files = 1;            // that hold tensors
  std::string architecture = {};    // config.json's class, or GGUF's general.architecture
  std::string family = {};          // row of architectures(), empty when unknown
  std::int64_t context_length = 0;  // 0 = not known
  std::uint64_t parameters = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t kv_bytes_per_token = 0;      // keys and values in 16 bit; 0 = not known
  std::vector<std::string> types = {};       // of the matrices, most frequent first: "q4_k", "bf16"
  std::string dialect = {};                  // of a quantized folder, else empty
  std::vector<LinearScheme> schemes = {};    // of its Linears, each once
  std::string kv_scheme = {};                // row of kv_schemes(), empty = as the model computes
  std::string chat_template = {};            // Jinja source, empty when there is none
  std::string bos_text = {};                 // the BOS token, empty when there is none
  bool adds_bos = false;                     // the tokenizer puts it before every text
  std::vector<std::string> stop_texts = {};  // tokens that end an answer
};

Result<Artefact> describe_artefact(const Checkpoint& checkpoint);

struct DeployWishes {
  std::int64_t context = 0;      // tokens of one request, prompt and answer; 0 = the artefact's
  std::int64_t concurrency = 0;  // requests in flight; 0 = the product's default
};

// A file for the product, or a command for a shell.
struct Deployment {
  std::string text;
  std::vector<std::string> notices;  // what the reader has to do or know
};

// Why the product does not load the artefact, and what it would load.
struct Refusal {
  std::string expected;
  std::string found;
  std::string advice;
};

struct DeployTarget {
  std::string_view name;       // "ollama"
  std::string_view product;    // "Ollama"
  std::string_view file_name;  // "Modelfile"
  bool script;                 // the file is a shell script with the command
  std::string_view schema;     // the documentation that the text keeps to
  // nullptr: what it loads is said by the rules of the pre-flight, which callers ask before.
  std::optional<Refusal> (*cannot_load)(const Artefact& artefact);
  // The engine behind the product that loads folders, whose rules callers ask too; empty: none.
  std::string_view folder_engine = {};
  // For an artefact that can be loaded; `wishes.context` is set. The text comes without its header.
  Deployment (*write)(const Artefact& artefact, const DeployWishes& wishes);
};

std::span<const DeployTarget* const> deploy_targets();
// nullptr when there is none of that name.
const DeployTarget* deploy_target_by_name(std::string_view name);

// Checks wishes and artefact, then writes. kUsage for a context beyond the artefact's, kInfeasible
// with the reason where the product cannot load the artefact.
Result<Deployment> deploy(const DeployTarget& target, const Artefact& artefact,
                          DeployWishes wishes);

// What every text for this target begins with: files that do may be replaced.
std::string deploy_header(const DeployTarget& target);

}  // namespace quantlane
