// Test support: checkpoints with known logits, where they lie, and how they are run.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/json.h"
#include "runtime/runtime.h"

namespace quantlane::testing {

inline fs::path model_data(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR "/tests/data/models") / name;
}
inline fs::path shared_data(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR "/../shared/data") / name;
}

// A folder that is removed at the end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (fs::temp_directory_path() / "quantlane-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code code;
    if (!path_.empty()) fs::remove_all(path_, code);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Unpacks an .xz file; false where that fails (no xz program).
inline bool unpack_xz(const fs::path& packed, const fs::path& target) {
  const std::string command = "xz -dc '" + packed.string() + "' > '" + target.string() + "'";
  return std::system(command.c_str()) == 0;
}

inline std::vector<float> read_floats(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values(fs::file_size(path) / sizeof(float));
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  EXPECT_TRUE(file.good()) << path;
  return values;
}

inline Json read_json(const fs::path& path) {
  auto text = read_text(path);
  EXPECT_TRUE(text.has_value()) << path;
  auto json = Json::parse(text.value_or("null"), path.string());
  EXPECT_TRUE(json.has_value()) << path;
  return json.value_or(Json());
}

inline std::vector<std::int32_t> ids_of(const Json& array) {
  std::vector<std::int32_t> ids;
  for (const Json& id : array.items()) ids.push_back(static_cast<std::int32_t>(id.integer()));
  return ids;
}

inline std::unique_ptr<Runtime> load_model(const fs::path& path) {
  auto checkpoint = Checkpoint::open(path);
  if (!checkpoint) {
    ADD_FAILURE() << checkpoint.error().message();
    return nullptr;
  }
  auto runtime = Runtime::load(*checkpoint);
  if (!runtime) {
    ADD_FAILURE() << runtime.error().message();
    return nullptr;
  }
  return std::move(*runtime);
}

// Logits [tokens, vocab] of one sequence from position 0, in one pass.
inline std::vector<float> logits_of(Runtime& runtime, const std::vector<std::int32_t>& ids,
                                    int threads = 1) {
  ThreadPool pool(threads);
  KvCache cache(runtime.config(), static_cast<std::int64_t>(ids.size()));
  const Segment segment = {.tokens = ids, .cache = &cache, .logits_from = 0};
  std::vector<float> logits;
  const auto done = runtime.forward({&segment, 1}, pool, logits);
  EXPECT_TRUE(done.has_value()) << done.error().message();
  return logits;
}

// The largest difference, as a share of the range of `want`.
inline double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  if (got.size() != want.size() || want.empty()) return 1e9;
  float low = want[0];
  float high = want[0];
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    low = std::min(low, want[i]);
    high = std::max(high, want[i]);
    const double difference = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    if (!(difference <= worst)) worst = difference;  // a NaN counts as worst
  }
  return worst / static_cast<double>(high - low);
}

}  // namespace quantlane::testing
