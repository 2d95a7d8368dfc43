// Files for the tests of containers: temporary folders, fixtures, hand-made bytes.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "containers/container.h"
#include "core/file.h"

namespace quantlane::test {

// A folder of its own for each test, removed afterwards.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] fs::path put(const std::string& name, std::string_view bytes) const {
    const auto written = write_text(folder_ / name, bytes);
    EXPECT_TRUE(written.has_value());
    return folder_ / name;
  }

  const fs::path folder_ =
      fs::temp_directory_path() / ("quantlane-containers-" + std::to_string(::getpid()) + "-" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
};

inline fs::path committed(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR) / "tests/data/containers" / name;
}
// Fixtures that are not part of the project; the folder may be absent.
inline fs::path shared_formats() {
  return fs::path(QUANTLANE_SOURCE_DIR) / "../shared/data/formats";
}

// The contents of an .xz file.
inline std::string unpack(const fs::path& path) {
  std::string bytes;
  const std::string command = "xz -dc '" + path.string() + "'";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return bytes;
  std::vector<char> piece(1U << 16U);
  while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), pipe)) {
    bytes.append(piece.data(), count);
  }
  ::pclose(pipe);
  return bytes;
}

template <class T>
std::span<const std::byte> bytes_of(const T& values) {
  return std::as_bytes(std::span(values.data(), values.size()));
}

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// A safetensors file of this header and data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  return raw(static_cast<std::uint64_t>(header.size())) + std::string(header) + std::string(data);
}

// GGUF bytes field by field, with the place of each number so that tests can damage it.
class GgufBytes {
 public:
  struct Field {
    std::string name;
    std::size_t offset;
    std::size_t size;
  };
  static constexpr std::uint32_t kF32 = 0;
  static constexpr std::uint32_t kUint32 = 4;
  static constexpr std::uint32_t kString = 8;
  static constexpr std::uint32_t kArray = 9;

  GgufBytes(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    text("GGUF");
    number("version", version).number("tensor count", tensors).number("key count", keys);
  }
  template <class T>
  GgufBytes& number(const std::string& name, T value) {
    fields_.push_back({name, bytes_.size(), sizeof(T)});
    bytes_ += raw(value);
    return *this;
  }
  GgufBytes& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  GgufBytes& string(const std::string& name, std::string_view value) {
    number(name, static_cast<std::uint64_t>(value.size()));
    return text(value);
  }
  template <class T>
  GgufBytes& key(const std::string& name, std::uint32_t type, T value) {
    string(name + " length", name);
    return number(name + " type", type).number(name, value);
  }
  GgufBytes& key(const std::string& name, std::string_view value) {
    string(name + " length", name);
    return number(name + " type", kString).string(name + " value", value);
  }
  // `extents` innermost first, as stored.
  GgufBytes& info(const std::string& name, const std::vector<std::int64_t>& extents,
                  std::uint32_t type, std::uint64_t offset) {
    string(name + " length", name);
    number(name + " dims", static_cast<std::uint32_t>(extents.size()));
    for (const std::int64_t extent : extents) number(name + " extent", extent);
    return number(name + " type", type).number(name + " offset", offset);
  }
  GgufBytes& pad(std::size_t alignment = 32) {
    while (bytes_.size() % alignment != 0) bytes_ += '\0';
    return *this;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] const std::vector<Field>& fields() const { return fields_; }

 private:
  std::string bytes_;
  std::vector<Field> fields_;
};

// A valid file with two tensors: a [2, 3] of f32 1..6, and b [4] of f32 zeros.
inline GgufBytes small_gguf() {
  GgufBytes file(2, 3);
  file.key("general.architecture", "llama").key("x.count", GgufBytes::kUint32, 7U);
  file.string("x.list length", "x.list").number("x.list type", GgufBytes::kArray);
  file.number("x.list element type", std::uint32_t{2}).number("x.list count", std::uint64_t{3});
  file.text(raw(std::uint16_t{1}) + raw(std::uint16_t{2}) + raw(std::uint16_t{3}));
  file.info("a", {3, 2}, GgufBytes::kF32, 0).info("b", {4}, GgufBytes::kF32, 32).pad();
  for (int i = 1; i <= 6; ++i) file.text(raw(static_cast<float>(i)));
  return file.pad().text(std::string(16, '\0')).pad();
}

}  // namespace quantlane::test
