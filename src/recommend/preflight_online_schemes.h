// What the flags with which an engine quantizes while it loads make of plain weights: the schemes
// that an artefact of that format would have, which the rules about kernels and shapes then judge.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "recommend/preflight.h"

namespace quantlane {

// Spellings of formats/scheme.h. No weight: stays plain. No input: 16 bits.
struct MadeScheme {
  std::string_view weight = {};
  std::string_view input = {};
};

struct OnlineScheme {
  Engine engine;
  std::string_view names;  // of the flag, joined by blanks
  MadeScheme linears;      // other than experts
  MadeScheme experts;
  bool amd = true;  // taken on AMD
  int least = 0;    // the compute capability x 10 that the flag wants, whatever the model
  int from = 0;     // … and that what it makes wants
  int until = 0;  // … which is below this, where not 0: nothing else will do, nor any other device

  [[nodiscard]] bool is_for_experts() const { return linears.weight.empty(); }
};

// nullptr where there is no flag, or what it makes is not in the table.
const OnlineScheme* find_online_scheme(const EngineTarget& target);

bool has_experts(const ArtefactFacts& facts);

// Why the engine stops at this flag on the device, for plain weights: "fp8 needs compute capability
// 7.5, and v100-sxm has 7.0".
std::optional<std::string> online_device_refusal(const ArtefactFacts& facts,
                                                 const EngineTarget& target);

// As an artefact of what the flag makes would be; nullopt where nothing is made (also because the
// engine stops before). Configuration and tensors stay those of the plain checkpoint.
std::optional<ArtefactFacts> with_online_schemes(const ArtefactFacts& facts,
                                                 const EngineTarget& target);

}  // namespace quantlane
