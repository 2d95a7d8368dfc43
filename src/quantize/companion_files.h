// Everything of a Hugging Face folder that is not weights: configuration, tokenizer, templates,
// licences, copied or (from GGUF) written anew.
#pragma once
#include <filesystem>

#include "core/json.h"
#include "model/checkpoint.h"
#include "quantize/lane.h"
#include "quantlane/result.h"

namespace quantlane {

// `quantization_config`: null removes a previous one.
Result<void> write_companion_files(const Checkpoint& source, const Lane& lane,
                                   const Json& quantization_config,
                                   const std::filesystem::path& folder);

}  // namespace quantlane
