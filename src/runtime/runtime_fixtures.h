// Test support: running small checkpoints and comparing logits.
#pragma once
#include <cmath>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/checkpoint_fixtures.h"
#include "runtime/runtime.h"

namespace quantlane::fixtures {

inline std::vector<float> read_floats(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values(fs::file_size(path) / sizeof(float));
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  EXPECT_TRUE(file.good()) << path;
  return values;
}

inline std::vector<std::int32_t> ids_of(const Json& array) {
  std::vector<std::int32_t> ids;
  for (const Json& id : array.items()) ids.push_back(static_cast<std::int32_t>(id.integer()));
  return ids;
}

inline std::unique_ptr<Runtime> load_model(const fs::path& path) {
  const auto checkpoint = open_checkpoint(path);
  if (checkpoint == nullptr) return nullptr;
  auto runtime = Runtime::load(checkpoint);
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

}  // namespace quantlane::fixtures
