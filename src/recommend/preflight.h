// Will an engine load an artefact on a device? Rules as a table, one row each with its source
// (docs/preflight.md); what is not in a row is not checked.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantlane/preflight.h"
#include "recommend/hardware.h"
#include "recommend/preflight_facts.h"

namespace quantlane {

enum class Engine : std::uint8_t {
  kVllm,
  kSglang,
  kTgi,
  kTensorRtLlm,
  kLlamaCpp,
  kOllama,
  kLmStudio,
  kLocalAi,
};

// What an engine is, besides the rules: one row each in engines().
struct EngineRow {
  Engine engine;
  std::string_view name;     // "vllm", as on the command line
  std::string_view display;  // "vLLM", as lanes name it
  std::string_view version;  // whose rules these are, when the caller names none
  // quant_method of what it loads, on GPUs; empty: no quantized folders at all.
  std::span<const std::string_view> methods;
  bool gguf;
  std::string_view alias = {};  // the name of the program that `quantlane deploy` writes for
  // What it makes of a plain checkpoint while it loads, as its flag calls it.
  std::span<const std::string_view> online = {};
  // The engine that loads folders for it, by whose rules they are judged.
  std::string_view folder_engine = {};
};
std::span<const EngineRow> engines();
// By name, display name or alias, case and punctuation aside ("LM Studio", "lm-studio"); kUsage
// lists the names.
Result<const EngineRow*> find_engine(std::string_view name);

struct EngineTarget {
  const EngineRow* engine = nullptr;
  std::optional<Device> device;  // nullopt: rules about devices do not apply
  std::int64_t tensor_parallel = 1;
  std::string version;  // of the engine; empty = EngineRow::version or later
  std::string online;   // a scheme that the engine is to make while it loads

  [[nodiscard]] bool is(Engine wanted) const { return engine->engine == wanted; }
  [[nodiscard]] bool is_cpu() const;
  [[nodiscard]] bool is_amd_gpu() const;
  // CUDA compute capability x 10; 0 = no CUDA device (or none given).
  [[nodiscard]] int capability() const { return device ? device->capability : 0; }
  [[nodiscard]] bool before(int wanted) const { return capability() > 0 && capability() < wanted; }
  // Is the engine known to be older than `wanted` ("0.9.1")?
  [[nodiscard]] bool older_than(std::string_view wanted) const;
};

// "0.9.1", "v0.11.0rc2", "1.3.0.post1", "2026-08": numbers first, then what releases are called.
bool is_engine_version(std::string_view text);

struct PreflightRule {
  std::string_view id;       // "marlin-shape"
  std::string_view engines;  // names joined by blanks, or "*"
  PreflightEffect effect;
  std::string_view text;    // one sentence: what the engine does
  std::string_view advice;  // what to do instead; may be empty
  std::string_view source;  // where that is known from
  // What of the artefact breaks it ("model.layers.0.mlp.down_proj: 1536 columns"), nullopt:
  // nothing.
  std::optional<std::string> (*finds)(const ArtefactFacts& facts, const EngineTarget& target);
};

// All rows, those of one concern together.
std::vector<const PreflightRule*> preflight_rules();
bool concerns(const PreflightRule& rule, const EngineTarget& target);

// The parts of the source, joined by "; ", that name the engine; all where none does.
std::string source_for(const PreflightRule& rule, const EngineRow& engine);

// Every rule of the engine against the artefact; findings in table order, answer = the worst.
PreflightAnswer preflight(const ArtefactFacts& facts, const EngineTarget& target);

// What of the artefact contradicts its own configuration, whatever the engine.
std::vector<PreflightFinding> find_contradictions(const ArtefactFacts& facts);

}  // namespace quantlane
