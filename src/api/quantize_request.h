// What the options of quantize ask of a lane, in the terms of src/quantize.
#pragma once
#include "core/output_path.h"
#include "model/checkpoint.h"
#include "quantize/pipeline.h"
#include "quantlane/quantize.h"
#include "quantlane/result.h"

namespace quantlane {

// A usage error for misspelt wishes, and for any wish where the lane is no GGUF lane.
Result<RecipeRequest> recipe_request(const GgufOptions& options, const Lane& lane);
// --tensor-type of folder lanes that quantize; none for others.
Result<std::vector<SchemeOverride>> scheme_overrides(const GgufOptions& options, const Lane& lane);
// The lane's own where the options name none.
Result<SizeTarget> size_target(const GgufOptions& options, const Lane& lane);
Result<SplitRequest> split_request(const SplitOptions& options, const Lane& lane);

// "2GiB", "500 MB", "1.5G" (a power of 1000, as with llama-gguf-split), "4096"; at least 1. Errors
// name the option.
Result<std::uint64_t> parse_bytes(std::string_view text, const std::string& option);

// check_output() of quantize/output_place.h for every file that the artefact may have; each is
// apart from the source and from `others`, which the job reads.
Result<void> check_files(const std::filesystem::path& out, const SplitRequest& split,
                         const Checkpoint& source, std::vector<InputPath> others, bool replace);

}  // namespace quantlane
