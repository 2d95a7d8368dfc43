// Damaged GGUF files: each gives an Error that names the file and the offset, none crashes.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "containers/gguf.h"

namespace quantlane {
namespace {

using test::GgufBytes;
using test::raw;
using testing::HasSubstr;

constexpr const char* kOrigin = "damaged.gguf";

// An exact heap copy, so that the address sanitizer sees each byte read beyond the end.
Result<GgufFile> parse(const std::string& bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());
  return parse_gguf(test::bytes_of(copy), kOrigin);
}

void expect_located(const Error& error) {
  EXPECT_EQ(error.file, kOrigin);
  EXPECT_FALSE(error.attempted.empty());
  EXPECT_FALSE(error.hint.empty()) << error.message();
  EXPECT_TRUE(error.offset.has_value()) << error.message();
  EXPECT_TRUE(error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kUnsupported);
}

void expect_sound(const GgufFile& file, std::size_t size) {
  std::uint64_t previous = 24;
  for (const TensorInfo& tensor : file.tensors) {
    ASSERT_GE(tensor.offset, previous);
    ASSERT_LE(tensor.offset, size);
    ASSERT_LE(tensor.size_bytes, size - tensor.offset);
    ASSERT_EQ(static_cast<std::uint64_t>(tensor.rows()) * tensor.type.bytes_of(tensor.cols()),
              tensor.size_bytes);
    previous = tensor.offset + tensor.size_bytes;
  }
}

GgufBytes one_tensor(const std::vector<std::int64_t>& extents, std::uint32_t type,
                     std::uint64_t offset, const std::string& name = "w") {
  GgufBytes file(1, 0);
  file.info(name, extents, type, offset).pad().text(std::string(64, '\0'));
  return file;
}

GgufBytes one_key(std::uint32_t type, const std::string& value) {
  GgufBytes file(0, 1);
  file.string("k length", "k").number("k type", type).text(value);
  return file;
}

template <class T>
GgufBytes array_of(std::uint32_t element_type, T count, const std::string& elements) {
  return one_key(GgufBytes::kArray, raw(element_type) + raw(count) + elements);
}

struct Damage {
  const char* name;
  GgufBytes file;
  const char* tensor;  // tensor or key that the error must name
  const char* text;    // that the message must have
  ErrorCode code = ErrorCode::kCorrupt;
};

std::vector<Damage> header_damages() {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const auto aligned = [](std::uint32_t type, auto value) {
    GgufBytes file(0, 1);
    file.key("general.alignment", type, value);
    return file;
  };
  GgufBytes empty_key(0, 1);
  empty_key.key("", GgufBytes::kUint32, 1U);
  GgufBytes control_key(0, 1);
  control_key.key("a\nb", GgufBytes::kUint32, 1U);
  GgufBytes twice(0, 2);
  twice.key("k", GgufBytes::kUint32, 1U).key("k", GgufBytes::kUint32, 2U);
  return {
      {"version 0", GgufBytes(0, 0, 0), "", "version 0", kUnsupported},
      {"version 1", GgufBytes(0, 0, 1), "", "version 1", kUnsupported},
      {"version 4", GgufBytes(0, 0, 4), "", "version 4", kUnsupported},
      {"swapped bytes", GgufBytes(0, 0, 0x03000000), "", "big-endian", kUnsupported},
      {"tensors beyond the file", GgufBytes(1, 0), "", "count of tensors"},
      {"tensors without end", GgufBytes(~std::uint64_t{0}, 0), "", "count of tensors"},
      {"keys beyond the file", GgufBytes(0, 1), "", "count of keys"},
      {"keys without end", GgufBytes(0, std::uint64_t{1} << 63), "", "count of keys"},
      {"empty key", std::move(empty_key), "", "0 bytes as key number 0"},
      {"control character", std::move(control_key), "", "printable key"},
      {"key twice", std::move(twice), "k", "each key once"},
      {"value type 13", one_key(13, raw(1)), "k", "13"},
      {"boolean 2", one_key(7, "\2"), "k", "boolean"},
      {"cut number", one_key(12, "1234"), "k", "8 bytes"},
      {"string beyond the file", one_key(8, raw(std::uint64_t{9}) + "12345678"), "k", "9"},
      {"string without end", one_key(8, raw(~std::uint64_t{0}) + "12345678"), "k", "string"},
      {"array of arrays", array_of(9, std::uint64_t{1}, raw(std::uint64_t{0})), "k", "arrays",
       kUnsupported},
      {"array of type 99", array_of(99, std::uint64_t{1}, raw(std::uint64_t{0})), "k", "99"},
      {"array beyond the file", array_of(4, std::uint64_t{3}, raw(std::uint64_t{0})), "k", "3"},
      {"array size overflow", array_of(12, (std::uint64_t{1} << 61) + 1, raw(1.0)), "k",
       "elements"},
      {"strings beyond the file", array_of(8, std::uint64_t{2}, raw(std::uint64_t{0})), "k", "2"},
      {"boolean array with 7", array_of(7, std::uint64_t{2}, "\1\7"), "k", "boolean"},
      {"alignment 0", aligned(4, 0U), "general.alignment", "power of two"},
      {"alignment 24", aligned(4, 24U), "general.alignment", "24"},
      {"alignment u64", aligned(10, std::uint64_t{32}), "general.alignment", "another type"},
  };
}

std::vector<Damage> tensor_damages() {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  GgufBytes twice(2, 0);
  twice.info("w", {1}, 0, 0).info("w", {1}, 0, 32).pad().text(std::string(64, '\0'));
  GgufBytes gap(2, 0);
  gap.info("v", {1}, 0, 0).info("w", {1}, 0, 64).pad().text(std::string(96, '\0'));
  GgufBytes overlap(2, 0);
  overlap.info("v", {16}, 0, 0).info("w", {1}, 0, 32).pad().text(std::string(96, '\0'));
  const std::int64_t huge = std::int64_t{1} << 40;
  return {
      {"empty name", one_tensor({1}, 0, 0, ""), "", "tensor name"},
      {"name of 64 bytes", one_tensor({1}, 0, 0, std::string(64, 'n')), "", "63"},
      {"control character", one_tensor({1}, 0, 0, "a\tb"), "", "printable"},
      {"name twice", std::move(twice), "w", "each tensor once"},
      {"five dimensions", one_tensor({1, 1, 1, 1, 1}, 0, 0), "w", "4 dimensions"},
      {"zero extent", one_tensor({0}, 0, 0), "w", "above 0"},
      {"negative extent", one_tensor({4, -4}, 0, 0), "w", "-4"},
      {"product overflow", one_tensor({huge, huge, huge, huge}, 0, 0), "w", "product"},
      {"beyond the file", one_tensor({17}, 0, 0), "w", "68 bytes"},
      {"far beyond the file", one_tensor({huge, 1 << 18}, 0, 0), "w", "before the end"},
      {"part of a block", one_tensor({48}, 8, 0), "w", "multiple of 32"},
      {"first offset not 0", one_tensor({1}, 0, 32), "w", "data offset 32"},
      {"offset not aligned", one_tensor({1}, 0, 4), "w", "data offset 4"},
      {"offset without end", one_tensor({1}, 0, ~std::uint64_t{0}), "w", "data offset"},
      {"gap", std::move(gap), "w", "data offset 32"},
      {"overlap", std::move(overlap), "w", "data offset 64"},
      {"retired type", one_tensor({32}, 31, 0), "w", "retired", kUnsupported},
      {"fork's type", one_tensor({256}, 144, 0), "w", "iq4_ks of ik_llama.cpp", kUnsupported},
      {"type 1000", one_tensor({32}, 1000, 0), "w", "1000", kUnsupported},
  };
}

void expect_refused(const std::vector<Damage>& damages) {
  for (const Damage& damage : damages) {
    const auto parsed = parse(damage.file.bytes());
    ASSERT_FALSE(parsed.has_value()) << damage.name;
    expect_located(parsed.error());
    EXPECT_EQ(parsed.error().code, damage.code) << damage.name;
    EXPECT_EQ(parsed.error().tensor, damage.tensor) << damage.name;
    EXPECT_THAT(parsed.error().message(), HasSubstr(damage.text)) << damage.name;
  }
}

TEST(GgufMalformed, EachHeaderDamageIsNamed) { expect_refused(header_damages()); }
TEST(GgufMalformed, EachTensorDamageIsNamed) { expect_refused(tensor_damages()); }

TEST(GgufMalformed, OffsetsPointAtTheFieldThatIsWrong) {
  GgufBytes keys(0, 2);
  keys.key("general.alignment", GgufBytes::kUint32, 24U).key("later", GgufBytes::kUint32, 1U);
  const auto alignment = parse(keys.bytes());
  ASSERT_FALSE(alignment.has_value());
  EXPECT_EQ(alignment.error().offset, 24 + 8 + std::string_view("general.alignment").size());

  GgufBytes gap(2, 0);
  gap.info("v", {1}, 0, 4).info("w", {1}, 0, 36).pad().text(std::string(96, '\0'));
  const auto placed = parse(gap.bytes());
  ASSERT_FALSE(placed.has_value());
  EXPECT_EQ(placed.error().tensor, "v");
  EXPECT_EQ(placed.error().offset, 24 + (8 + 1) + (4 + 8) + 4);  // name, extents, type
}

TEST(GgufMalformed, RefusesOtherMagics) {
  for (const char* magic : {"GGML", "ggjt", "FUGG", "    "}) {
    std::string bytes = test::small_gguf().bytes();
    bytes.replace(0, 4, magic);
    const auto parsed = parse(bytes);
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().offset, 0U);
  }
}

TEST(GgufMalformed, EveryTruncationIsRefused) {
  const std::string good = test::small_gguf().bytes();
  ASSERT_TRUE(parse(good).has_value());
  const std::size_t padding = 16;  // after the last tensor: readers do not need it
  for (std::size_t size = 0; size < good.size() - padding; ++size) {
    const auto parsed = parse(good.substr(0, size));
    ASSERT_FALSE(parsed.has_value()) << size;
    expect_located(parsed.error());
  }
}

TEST(GgufMalformed, AbsurdValuesInEachFieldAreHandled) {
  const GgufBytes good = test::small_gguf();
  const std::uint64_t values[] = {0,
                                  1,
                                  2,
                                  9,
                                  13,
                                  31,
                                  63,
                                  64,
                                  255,
                                  256,
                                  0x7FFFFFFF,
                                  0x80000000,
                                  0xFFFFFFFF,
                                  0x100000000,
                                  0x1FFFFFFFFFFFFFFF,
                                  0x2000000000000001,
                                  0x7FFFFFFFFFFFFFFF,
                                  0x8000000000000000,
                                  0xFFFFFFFFFFFFFFE0,
                                  0xFFFFFFFFFFFFFFFF};
  int refused = 0;
  for (const GgufBytes::Field& field : good.fields()) {
    for (const std::uint64_t value : values) {
      SCOPED_TRACE(field.name + " = " + std::to_string(value));
      std::string bytes = good.bytes();
      bytes.replace(field.offset, field.size, raw(value).substr(0, field.size));
      const auto parsed = parse(bytes);
      if (parsed) {
        ASSERT_NO_FATAL_FAILURE(expect_sound(*parsed, bytes.size()));
      } else {
        ++refused;
        expect_located(parsed.error());
      }
    }
  }
  EXPECT_GT(refused, static_cast<int>(good.fields().size()) * 10);
}

TEST(GgufMalformed, RandomDamageNeverGivesAnUnsoundFile) {
  const std::uint64_t seed = 20240608;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string good = test::small_gguf().bytes();
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      // Mostly small numbers: they get further than random bytes.
      const std::uint64_t value = random();
      bytes[random() % bytes.size()] = static_cast<char>(value % 2 == 0 ? value >> 8 : value % 16);
    }
    const auto parsed = parse(bytes);
    if (parsed) {
      ASSERT_NO_FATAL_FAILURE(expect_sound(*parsed, bytes.size())) << "round " << round;
    } else {
      ++refused;
      expect_located(parsed.error());
    }
  }
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace quantlane
