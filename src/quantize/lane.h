// Lanes: format + algorithm + dialect under the name that a user types. Rows are data
// (data/lanes/lanes.json, data/recipes/gguf.json as "gguf:NAME").
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"
#include "containers/dialects/dialect.h"
#include "model/graph.h"
#include "quantlane/result.h"

namespace quantlane {

// A GGUF file type: which block format each tensor gets (llama.cpp src/llama-quant.cpp).
struct GgufRecipe {
  std::string name;   // "q4_k_m"
  int file_type = 0;  // general.file_type (include/llama.h, enum llama_ftype)
  ElementType base;
  ElementType output;  // head, or the embedding when tied
  struct Rule {
    Role role;
    std::string layers;  // "more_bits", "first_eighth", "first_four", "all"
    ElementType type;
  };
  std::vector<Rule> rules;

  // The type of a matrix after shape fallbacks; `notice` gets a line when one was taken.
  [[nodiscard]] ElementType assign(const Parameter& parameter, const ModelConfig& config,
                                   std::string* notice) const;
};

struct Lane {
  std::string name;  // "w4a16", "gguf:q4_k_m"
  std::string summary;
  std::string engines;
  std::string algorithm;             // row of algorithms()
  const Dialect* dialect = nullptr;  // quantized Hugging Face folder
  LinearScheme scheme;               // with `dialect`
  std::optional<DType> plain;        // unquantized folder of this type
  std::optional<GgufRecipe> recipe;  // GGUF file
  [[nodiscard]] bool is_gguf() const { return recipe.has_value(); }
  [[nodiscard]] std::string dialect_name() const;
};

// kNotFound lists the known lanes.
Result<Lane> find_lane(std::string_view name);
std::vector<std::string> lane_names();
// The six of `compare`.
std::vector<std::string> default_lanes();

// llama.cpp's rule for "more bits": layers of the first and last eighth and every third between
// (integer division): i < n/8, i >= 7n/8, (i - n/8) mod 3 = 2.
[[nodiscard]] bool takes_more_bits(std::int64_t layer, std::int64_t layers);

}  // namespace quantlane
