// Where an artefact may be written: never over the source, never over what is not an artefact.
#pragma once
#include <filesystem>

#include "quantlane/result.h"

namespace quantlane {

// Neither is the other or lies inside it, links followed; both need not exist.
bool is_apart(const std::filesystem::path& out, const std::filesystem::path& source);

// Fails where `out` is empty, is the source, lies inside it or holds it, exists without `replace`,
// or cannot be created. With `replace` an existing GGUF file or checkpoint folder (config.json,
// weights, and the files that stand beside them, nothing else) may be replaced; everything else is
// refused, naming the entry that does not belong there. Creates and removes nothing.
Result<void> check_output(const std::filesystem::path& out, const std::filesystem::path& source,
                          bool replace);

}  // namespace quantlane
