// Where an artefact may be written: never over the source, never over what is not an artefact.
#pragma once
#include <filesystem>
#include <vector>

#include "core/output_path.h"
#include "core/replacing.h"
#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

// What a job reads of `source`: its path, its files, what links in its folder lead to.
std::vector<InputPath> inputs_of(const Checkpoint& source);

// Fails where `out` is empty, exists without `replace`, or cannot be created. With `replace` an
// existing GGUF file or checkpoint folder (config.json, weights, and the files that stand beside
// them, nothing else) may be replaced; everything else is refused, naming the entry that does not
// belong there. Creates and removes nothing. check_apart() is asked before.
Result<void> check_output(const std::filesystem::path& out, bool replace);

// What a finished artefact may take the place of, asked again when it is put there: with `replace`
// what check_output() lets it replace, else nothing. Folders take the place of either kind, files
// that of files.
ReplaceCheck replaceable_folder(bool replace);
ReplaceCheck replaceable_gguf(bool replace);

}  // namespace quantlane
