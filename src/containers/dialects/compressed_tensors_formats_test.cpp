// The format names tensors; what engines would look for must be what is there.
#include "containers/dialects/compressed_tensors_formats.h"

#include <gmock/gmock.h>

#include "containers/dialects/compressed_tensors.h"
#include "containers/dialects/dialect_test_files.h"

namespace quantlane {
namespace {

struct Stored {
  std::string_view suffix;
  DType dtype;
  std::string_view args;    // of "weights"
  std::string_view format;  // the one that such tensors have
};

// One Linear of 2 x 32 in each layout.
const std::vector<Stored>& layouts() {
  static const std::vector<Stored> rows = {
      {"weight_packed", DType::kI32, R"("num_bits": 4, "type": "int", "group_size": 32)",
       "pack-quantized"},
      {"weight", DType::kI8, R"("num_bits": 8, "type": "int", "strategy": "channel")",
       "int-quantized"},
      {"weight", DType::kF8E4M3, R"("num_bits": 8, "type": "float", "strategy": "channel")",
       "float-quantized"},
      {"weight_packed", DType::kU8,
       R"("num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16,
          "scale_dtype": "torch.float8_e4m3fn")",
       "nvfp4-pack-quantized"},
      {"weight_packed", DType::kU8,
       R"("num_bits": 4, "type": "float", "group_size": 32, "scale_dtype": "torch.uint8")",
       "mxfp4-pack-quantized"}};
  return rows;
}

class CompressedTensorsFormat : public test::FolderTest {
 protected:
  // What reading the map says of a format for all and one of the group ("" = no such key).
  [[nodiscard]] Error read(const Stored& row, const std::string& common, const std::string& own,
                           std::string_view ignore = "") const {
    const std::int64_t per_word = row.dtype == DType::kI32 ? 8 : row.dtype == DType::kU8 ? 2 : 1;
    const std::int64_t words = 32 / per_word;
    const std::string bytes(static_cast<std::size_t>(2 * words * dtype_row(row.dtype).size_bytes),
                            '\0');
    const auto container =
        test::container_of({{"m.up_proj." + std::string(row.suffix), row.dtype, {2, words}, bytes},
                            {"lm_head.weight", DType::kBF16, {2, 2}, std::string(8, '\0')}},
                           folder_ / "m.safetensors");
    const auto key = [](const std::string& name) {
      return name.empty() ? std::string() : R"("format": ")" + name + "\", ";
    };
    const auto config =
        Json::parse(R"({"quant_method": "compressed-tensors", )" + key(common) + R"("ignore": [)" +
                        std::string(ignore) + R"(], "config_groups": {"g": {)" + key(own) +
                        R"("targets": ["Linear"], "weights": {)" + std::string(row.args) + "}}}}",
                    "config.json");
    EXPECT_TRUE(config.has_value());
    const auto map = kCompressedTensors.read_map({.config = *config,
                                                  .container = *container,
                                                  .origin = "config.json",
                                                  .model_dtype = DType::kBF16});
    return map ? Error{} : map.error();
  }
};

TEST_F(CompressedTensorsFormat, OnlyTheOneThatTheTensorsHaveIsRead) {
  for (const Stored& stored : layouts()) {
    for (const Stored& said : layouts()) {
      const std::string format(said.format);
      const bool right = stored.format == said.format;
      for (const Error& error : {read(stored, format, ""), read(stored, "", format),
                                 read(stored, "mixed-precision", format)}) {
        EXPECT_EQ(error.message().empty(), right) << stored.format << " called " << format;
      }
    }
    EXPECT_EQ(read(stored, "", "").message(), "") << stored.format;
  }
}

// Integers with integers: the arguments cannot tell, only the tensors.
TEST_F(CompressedTensorsFormat, IntegersOfTheOtherLayoutAreNamedWithTheRightFormat) {
  const Error packed = read(layouts()[0], "int-quantized", "");
  EXPECT_EQ(packed.code, ErrorCode::kCorrupt);
  EXPECT_THAT(packed.expected, testing::HasSubstr("m.up_proj.weight_packed"));
  EXPECT_THAT(packed.found, testing::HasSubstr("int-quantized"));
  EXPECT_THAT(packed.hint, testing::HasSubstr("pack-quantized"));
  const Error bytes = read(layouts()[1], "int-quantized", "pack-quantized");
  EXPECT_THAT(bytes.expected, testing::HasSubstr("m.up_proj.weight, "));
  EXPECT_THAT(bytes.hint, testing::HasSubstr("\"int-quantized\""));
}

TEST_F(CompressedTensorsFormat, WordsThatNoFormatHasAreNotCalledByOne) {
  Stored words = layouts()[0];
  words.dtype = DType::kI64;
  const Error error = read(words, "pack-quantized", "");
  EXPECT_THAT(error.hint, testing::HasSubstr("no format has words of i64"));
  EXPECT_THAT(error.hint, testing::Not(testing::HasSubstr("nvfp4")));
}

TEST_F(CompressedTensorsFormat, MixedPrecisionAsksEveryGroupForItsOwn) {
  EXPECT_THAT(read(layouts()[0], "mixed-precision", "").message(),
              testing::HasSubstr("mixed-precision"));
}

TEST_F(CompressedTensorsFormat, SaysNothingOfModulesThatAreIgnored) {
  EXPECT_EQ(read(layouts()[0], "int-quantized", "", "\"m.up_proj\"").message(), "");
}

}  // namespace
}  // namespace quantlane
