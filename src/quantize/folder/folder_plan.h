// What a Hugging Face folder will hold, before any weight is read.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "containers/dialects/dialect.h"
#include "model/checkpoint.h"
#include "quantize/pipeline.h"
#include "quantlane/result.h"

namespace quantlane {

// One tensor of the source (or one parameter, where the source holds it in another form) on its
// way.
struct FolderItem {
  std::string name;  // output tensor name, or "<module>.weight" of a quantized Linear
  const Parameter* parameter = nullptr;  // of Linears of a known model
  std::uint32_t shard = 0;
  Weight weight;  // empty: raw bytes of `raw` are copied
  const TensorInfo* raw = nullptr;
  std::int64_t first_row = 0;  // of `raw` that is the weight's
  std::vector<std::int64_t> shape;
  bool quantized = false;
  LinearScheme scheme = {};    // of quantized ones
  DType plain = DType::kBF16;  // of `weight` where it is neither quantized nor raw
  bool moves = false;          // the codes of `weight` are kept (formats/scheme_moves.h)
};

struct FolderPlan {
  std::vector<FolderItem> items;
  std::vector<std::string> notices;  // fallbacks taken
};

// All tensors of `job`, in file order. kUnsupported where a Linear does not fit the scheme,
// kInvalidArgument where there is none to quantize.
Result<FolderPlan> plan_folder(const QuantizeJob& job);
// The whole folder.
ArtefactPlan artefact_of(const QuantizeJob& job, const FolderPlan& plan);

// "a.b" of "a.b.weight".
std::string module_of(const std::string& tensor_name);
// Parameters.
std::uint64_t values_of(const FolderItem& item);
// What an item that is not quantized is stored as.
ElementType plain_type(const QuantizeJob& job, const FolderItem& item);
// The parts of a quantized item.
std::vector<PlannedPart> planned_parts(const QuantizeJob& job, const FolderItem& item);
// The tensors that the item becomes.
std::vector<PlannedTensor> planned_tensors(const QuantizeJob& job, const FolderItem& item);
// The key quantization_config of config.json; null for plain lanes. Every matrix that a reader
// might take for a quantized Linear but is stored plain is ignored.
Json quantization_config(const QuantizeJob& job, const std::vector<FolderItem>& items);

}  // namespace quantlane
