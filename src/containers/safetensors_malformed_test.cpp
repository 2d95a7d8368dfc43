// Damaged safetensors files: each gives an Error that names the file, none crashes.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "containers/safetensors.h"

namespace quantlane {
namespace {

using test::raw;
using test::safetensors_bytes;
using testing::HasSubstr;

constexpr const char* kSafetensorsOrigin = "damaged.safetensors";

std::string small_file() {
  return safetensors_bytes(R"({"__metadata__":{"format":"pt"},)"
                           R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                           R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}})",
                           std::string(22, '\1'));
}

// An exact heap copy, so that the address sanitizer sees each byte read beyond the end.
Result<SafetensorsFile> parse_damaged(const std::string& bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());
  return parse_safetensors(test::bytes_of(copy), kSafetensorsOrigin);
}

void expect_place(const Error& error) {
  EXPECT_EQ(error.file, kSafetensorsOrigin);
  EXPECT_FALSE(error.attempted.empty());
  EXPECT_TRUE(error.offset.has_value()) << error.message();
  EXPECT_TRUE(error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kUnsupported);
}

// What parsed in spite of the damage must still lie inside the file, without overlap.
void expect_sound(const SafetensorsFile& file, std::size_t size) {
  std::uint64_t previous = 8;
  for (const TensorInfo& tensor : file.tensors) {
    ASSERT_GE(tensor.offset, previous);
    ASSERT_LE(tensor.size_bytes, size - tensor.offset);
    ASSERT_EQ(tensor.type.bytes_of(tensor.element_count()), tensor.size_bytes);
    previous = tensor.offset + tensor.size_bytes;
  }
  ASSERT_EQ(previous == 8 ? size : previous, size);
}

struct HeaderDamage {
  const char* name;
  std::string header;
  std::size_t data_bytes;
  const char* tensor;  // that the error must name
  const char* text;    // that the message must have
  ErrorCode code = ErrorCode::kCorrupt;
};

std::string one(const std::string& entry) { return R"({"a":)" + entry + "}"; }

std::vector<HeaderDamage> damages() {
  const std::string second = R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":)";
  const std::string first = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  return {
      {"empty header", "", 0, "", "empty"},
      {"array", "[]", 0, "", "object"},
      {"leading space", " {}", 0, "", "object"},
      {"cut JSON", R"({"a":)", 0, "", "JSON"},
      {"text after the object", "{}x", 0, "", "JSON"},
      {"not UTF-8", "{\"\xFF\":1}", 0, "", "UTF-8"},
      {"one name twice", first + second.substr(0, 1) + first.substr(1) + "}", 4, "", "twice"},
      {"entry no object", one("3"), 0, "a", "object"},
      {"no dtype", one(R"({"shape":[1],"data_offsets":[0,1]})"), 1, "a", "dtype"},
      {"no shape", one(R"({"dtype":"U8","data_offsets":[0,1]})"), 1, "a", "shape"},
      {"no offsets", one(R"({"dtype":"U8","shape":[1]})"), 1, "a", "data_offsets"},
      {"unknown member", one(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1})"), 1, "a",
       "x"},
      {"unknown dtype", one(R"({"dtype":"F4","shape":[2],"data_offsets":[0,1]})"), 1, "a", "F4",
       ErrorCode::kUnsupported},
      {"dtype number", one(R"({"dtype":1,"shape":[1],"data_offsets":[0,1]})"), 1, "a", "dtype"},
      {"negative extent", one(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,1]})"), 1, "a", "-1"},
      {"fraction", one(R"({"dtype":"U8","shape":[1.5],"data_offsets":[0,1]})"), 1, "a", "1.5"},
      {"extent beyond int64",
       one(R"({"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]})"), 1, "a",
       "extents"},
      {"product overflow",
       one(R"({"dtype":"F64","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]})"), 0,
       "a", "product"},
      {"overflow hidden by a zero",
       one(R"({"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})"), 0, "a",
       "product"},
      {"one offset", one(R"({"dtype":"U8","shape":[1],"data_offsets":[0]})"), 1, "a", "begin"},
      {"three offsets", one(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1,2]})"), 1, "a",
       "begin"},
      {"end before begin", one(R"({"dtype":"U8","shape":[1],"data_offsets":[1,0]})"), 1, "a",
       "begin"},
      {"negative offset", one(R"({"dtype":"U8","shape":[1],"data_offsets":[-1,0]})"), 1, "a",
       "begin"},
      {"beyond the file", one(R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})"), 4, "a",
       "4 bytes"},
      {"far beyond",
       one(R"({"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]})"),
       4, "a", "after the header"},
      {"size unlike the shape", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})"), 8, "a",
       "4 bytes"},
      {"overlap", first + second + "[2,6]}}", 6, "b", "overlap"},
      {"gap", first + second + "[5,9]}}", 9, "b", "gap"},
      {"gap at the start", one(R"({"dtype":"U8","shape":[1],"data_offsets":[1,2]})"), 2, "a",
       "gap"},
      {"bytes after the last tensor", first + "}", 9, "", "5 more bytes"},
      {"data without tensors", "{}", 1, "", "1 more bytes"},
      {"metadata no object", R"({"__metadata__":1})", 0, "__metadata__", "object"},
      {"metadata no string", R"({"__metadata__":{"k":1}})", 0, "__metadata__.k", "string"},
      {"deep nesting", one(std::string(200, '[')), 0, "", "64"},
  };
}

TEST(SafetensorsMalformed, EachDamageIsNamed) {
  for (const HeaderDamage& damage : damages()) {
    const auto parsed =
        parse_damaged(safetensors_bytes(damage.header, std::string(damage.data_bytes, 'x')));
    ASSERT_FALSE(parsed.has_value()) << damage.name;
    expect_place(parsed.error());
    EXPECT_EQ(parsed.error().code, damage.code) << damage.name;
    EXPECT_EQ(parsed.error().tensor, damage.tensor) << damage.name;
    EXPECT_THAT(parsed.error().message(), HasSubstr(damage.text)) << damage.name;
  }
}

TEST(SafetensorsMalformed, HeaderLengthIsBounded) {
  const std::string good = small_file();
  const std::uint64_t length = good.size() - 8 - 22;
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{1}, length - 1, length + 1, length + 22, length + 23,
        std::uint64_t{100'000'001}, std::uint64_t{1} << 31, std::uint64_t{1} << 32,
        std::uint64_t{1} << 63, ~std::uint64_t{0}, ~std::uint64_t{0} - 7}) {
    std::string bytes = good;
    bytes.replace(0, 8, raw(value));
    const auto parsed = parse_damaged(bytes);
    ASSERT_FALSE(parsed.has_value()) << value;
    expect_place(parsed.error());
  }
}

TEST(SafetensorsMalformed, EveryTruncationIsRefused) {
  const std::string good = small_file();
  ASSERT_TRUE(parse_damaged(good).has_value());
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto parsed = parse_damaged(good.substr(0, size));
    ASSERT_FALSE(parsed.has_value()) << size;
    expect_place(parsed.error());
  }
}

TEST(SafetensorsMalformed, RandomDamageNeverGivesAnUnsoundFile) {
  const std::uint64_t seed = 20240607;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string good = small_file();
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto parsed = parse_damaged(bytes);
    if (parsed) {
      ASSERT_NO_FATAL_FAILURE(expect_sound(*parsed, bytes.size())) << "round " << round;
    } else {
      ++refused;
      expect_place(parsed.error());
    }
  }
  EXPECT_GT(refused, 10000);
}

}  // namespace
}  // namespace quantlane
