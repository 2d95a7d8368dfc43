// The file or command with which a product serves an artefact.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "quantlane/result.h"

namespace quantlane {

struct DeployOptions {
  std::filesystem::path artefact;  // folder or GGUF file
  std::string target;              // "ollama", "vllm", …: list_deploy_targets()
  std::filesystem::path out;       // folder for the file; empty = write nothing
  std::int64_t context = 0;        // tokens of one request; 0 = what the artefact was made for
  std::int64_t concurrency = 0;    // requests in flight; 0 = the product's default
  bool force = false;              // replace a file of an earlier call
};

struct DeployResult {
  std::string target;
  std::string product;               // "Ollama"
  std::string file_name;             // "Modelfile", "serve.sh"
  std::filesystem::path file;        // as written; empty without DeployOptions::out
  std::string text;                  // of the file
  std::string schema;                // the documentation that it keeps to
  std::vector<std::string> notices;  // what is left to do or to know
};

// Reads everything from the artefact. kInfeasible with the reason where the product cannot load
// it, kUsage for an unknown target or a context beyond the artefact's.
Result<DeployResult> make_deployment(const DeployOptions& asked);
std::string to_json(const DeployResult& result);

struct DeployTargetName {
  std::string name;
  std::string product;
  std::string file_name;
};
std::vector<DeployTargetName> list_deploy_targets();

}  // namespace quantlane
