// Lanes: format + algorithm + dialect under the name that a user types. Rows are data
// (data/lanes/lanes.json, data/recipes/gguf.json as "gguf:NAME").
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "containers/dialects/dialect.h"
#include "model/checkpoint.h"
#include "quantize/lanes/lane_variants.h"
#include "quantize/lanes/recipe.h"
#include "quantize/lanes/scheme_overrides.h"
#include "quantlane/result.h"

namespace quantlane {

// How large a GGUF file is to be: of the whole file, or of its tensors per parameter. 0: as the
// recipe gives.
struct SizeTarget {
  std::uint64_t bytes = 0;
  double bits_per_weight = 0;
  [[nodiscard]] bool any() const { return bytes > 0 || bits_per_weight > 0; }
};

struct Lane {
  std::string name;  // "w4a16", "gguf:q4_k_m"
  std::string summary;
  std::string engines;
  std::vector<std::string> notes;         // what its name may be mistaken for
  std::vector<std::string> transforms;    // rows of transforms(), in the order of their use
  std::string algorithm;                  // row of algorithms()
  bool algorithm_named = false;           // by the user, behind a "+"
  const Dialect* dialect = nullptr;       // quantized Hugging Face folder
  LinearScheme scheme;                    // with `dialect`
  LaneGroups groups;                      // with `dialect`
  std::vector<SchemeOverride> overrides;  // with `dialect`; the first that matches wins
  std::optional<DType> plain;             // unquantized folder of this type
  std::optional<GgufRecipe> recipe;       // GGUF file
  SizeTarget size;                        // with `recipe`: types are chosen for it (size_target.h)
  [[nodiscard]] bool is_gguf() const { return recipe.has_value(); }
  [[nodiscard]] std::string dialect_name() const;
};

// Rows of data/lanes/lanes.json and what they stand for besides (lane_variants.h): "w3a16-g64".
// "LANE+TRANSFORM+ALGORITHM" is the lane with rows of transforms(), any number in any order, and
// then another row of algorithms(); either may be left out. Lanes that do not quantize take
// transforms that need no pass ("f32+rotate": the same function in other weights). kUsage lists
// what is known. "gguf:q4_k" and other aliases of llama.cpp give the lane that they stand for;
// "gguf:best-4.5bpw" the nearest of the usual file types with a size.
Result<Lane> find_lane(std::string_view name);
// kUsage where the user named an algorithm that cannot go with a size.
Result<void> check_sized_algorithm(const Lane& lane);
// What a GGUF file is called that holds the matrices of `source` as they are (QuantizeJob::
// as_stored): its file type is the source's own, or that of its most frequent type.
Result<Lane> lane_as_stored(const Checkpoint& source);
std::vector<std::string> lane_names();
// The names that are not listed because they are spelled out: variant_grammar() of folder lanes.
std::vector<std::string> lane_variants();
// The six of `compare`.
std::vector<std::string> default_lanes();

}  // namespace quantlane
