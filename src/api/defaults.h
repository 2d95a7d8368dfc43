// What is used when a user names nothing: the embedded canary model and its texts.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "calibrate/dataset.h"
#include "quantlane/result.h"

namespace quantlane {

// Unpacks the embedded model once into the user's cache folder and returns that folder.
Result<std::filesystem::path> canary_folder();

// Tokens of a calibration sample, and samples of a comparison.
inline constexpr std::int64_t kCalibrationChunk = 512;
inline constexpr std::int64_t kCalibrationChunks = 32;

// A text with the name that errors and reports show.
struct NamedText {
  std::string name;
  std::string text;
};
// The file, or the embedded prose for that purpose.
Result<NamedText> evaluation_text(const std::optional<std::filesystem::path>& file);
Result<NamedText> calibration_text(const std::optional<std::filesystem::path>& file);

// make_chunks() in samples of kCalibrationChunk tokens, or of the model's context where that is
// shorter; at most `limit` (0 = all).
Result<TokenChunks> calibration_chunks(const Checkpoint& checkpoint, const NamedText& text,
                                       std::int64_t limit);

}  // namespace quantlane
