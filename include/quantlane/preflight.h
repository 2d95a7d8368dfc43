// Will a serving engine load an artefact, and with which kernels? Asked before it is shipped.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

// Worst last.
enum class PreflightEffect : std::uint8_t {
  kNote,     // loads; something to know
  kSlow,     // loads with a slower kernel than this format has elsewhere
  kUnknown,  // this program cannot read what it would have to judge
  kWrong,    // loads, and computes something else than was measured
  kRefuse,   // does not load
};
// "loads", "loads with a slower kernel", "cannot be judged", "loads but computes something else",
// "will not load".
std::string_view preflight_answer_name(PreflightEffect worst);

struct PreflightFinding {
  std::string rule;  // id
  PreflightEffect effect = PreflightEffect::kNote;
  std::string text;    // what the engine does
  std::string detail;  // what of this artefact causes it
  std::string advice;  // what to do instead; may be empty
  std::string source;  // where the rule is known from
};

struct PreflightAnswer {
  std::string engine;   // "vllm"
  std::string version;  // the engine's, whose rules were asked
  std::string device;   // empty = none given
  std::int64_t tensor_parallel = 1;
  PreflightEffect worst = PreflightEffect::kNote;
  std::vector<PreflightFinding> findings;
  std::int64_t rules_checked = 0;
  // May it be shipped: is it known to load, and to compute what was measured?
  [[nodiscard]] bool usable() const { return worst < PreflightEffect::kUnknown; }
};

struct PreflightOptions {
  std::filesystem::path checkpoint;
  std::string engine;  // vllm, sglang, tgi, tensorrt-llm, llama.cpp, ollama, lmstudio, localai
  std::string gpu;     // a name of data/hardware; empty = rules about devices are left out
  std::int64_t tensor_parallel = 1;
  std::string engine_version;  // empty = the version that the rules were read from
  std::string online;          // a scheme that the engine makes while it loads
  bool read_values = true;     // look into scales and zero points
};

Result<PreflightAnswer> check_engine(const PreflightOptions& options);
std::string to_json(const PreflightAnswer& answer);

}  // namespace quantlane
