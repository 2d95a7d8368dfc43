// Everything of a Hugging Face folder that is not weights: configuration, tokenizer, templates,
// licences, copied or (from GGUF) written anew.
#pragma once
#include <filesystem>

#include "core/json.h"
#include "model/checkpoint.h"
#include "quantize/lanes/lane.h"
#include "quantlane/result.h"

namespace quantlane {

// What engines read beside config.json and the weights, by its name. Texts, scores and other files
// of a checkpoint folder are none.
bool is_companion_file(const std::filesystem::path& path);

// `quantization_config`: null removes a previous one.
Result<void> write_companion_files(const Checkpoint& source, const Lane& lane,
                                   const Json& quantization_config,
                                   const std::filesystem::path& folder);

}  // namespace quantlane
