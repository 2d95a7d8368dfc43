// Files for the tests of tokenizers: fixtures, packed or not, and temporary folders.
#pragma once
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "containers/gguf.h"
#include "core/file.h"
#include "core/json.h"
#include "model/tokenizer/sentencepiece_model.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"

namespace quantlane::test {

inline fs::path committed(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR) / "tests/data/tokenizers" / name;
}
inline fs::path canary() { return fs::path(QUANTLANE_SOURCE_DIR) / "models/canary"; }
// Fixtures that are not part of the project; they may be absent.
inline fs::path shared(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR) / "../shared/data" / name;
}
#define QUANTLANE_NEEDS(path) \
  if (!fs::exists(path)) GTEST_SKIP() << "needs " << (path).string()

// The contents of a file, unpacked where its name ends in .gz or .xz.
inline std::string contents(const fs::path& path) {
  const std::string kind = path.extension().string();
  if (kind != ".gz" && kind != ".xz") return read_text(path).value();
  std::string bytes;
  const std::string command = (kind == ".gz" ? "gzip -dc '" : "xz -dc '") + path.string() + "'";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return bytes;
  std::vector<char> piece(1U << 16U);
  while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), pipe)) {
    bytes.append(piece.data(), count);
  }
  ::pclose(pipe);
  return bytes;
}

inline Json json(const fs::path& path) {
  return Json::parse(contents(path), path.string()).value();
}

inline Result<TokenizerSpec> gguf_spec(const fs::path& path) {
  const std::string bytes = contents(path);
  const auto file = parse_gguf(std::as_bytes(std::span(bytes)), path.string());
  if (!file) return std::unexpected(file.error());
  return read_tokenizer_gguf(file->metadata, path.string());
}

// Fails the test, with the error, when there is no tokenizer.
inline std::unique_ptr<Tokenizer> tokenizer_of(Result<TokenizerSpec> spec) {
  EXPECT_TRUE(spec.has_value()) << spec.error().message();
  if (!spec) return nullptr;
  auto tokenizer = make_tokenizer(std::move(*spec));
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  return tokenizer ? std::move(*tokenizer) : nullptr;
}
inline std::unique_ptr<Tokenizer> tokenizer_of_json(const fs::path& path) {
  return tokenizer_of(parse_tokenizer_json(json(path), path.string()));
}
inline std::unique_ptr<Tokenizer> tokenizer_of_model(const fs::path& path) {
  return tokenizer_of(parse_sentencepiece_model(contents(path), path.string()));
}

inline std::vector<std::int32_t> integers(const Json& list) {
  std::vector<std::int32_t> ids;
  for (const Json& id : list.items()) ids.push_back(static_cast<std::int32_t>(id.integer()));
  return ids;
}

// A folder of its own for each test, removed afterwards.
class TokenizerFolderTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  void put(const std::string& name, std::string_view text) const {
    EXPECT_TRUE(write_text(folder_ / name, text).has_value());
  }

  const fs::path folder_ =
      fs::temp_directory_path() / ("quantlane-tokenizer-" + std::to_string(::getpid()) + "-" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
};

}  // namespace quantlane::test
