#include "containers/tensor_damage.h"

#include <functional>

#include <gmock/gmock.h>

#include "containers/container_test_files.h"
#include "core/rng.h"

namespace quantlane {
namespace {

using testing::HasSubstr;

class TensorDamage : public test::FolderTest {
 protected:
  // Of one row of two blocks of the type, `change` applied to its bytes.
  [[nodiscard]] std::string damage_of(const BlockFormat& format,
                                      const std::function<void(std::byte*)>& change,
                                      bool zeros = false) const {
    const std::int64_t cols = 2 * format.block_values;
    Rng rng(3);
    std::vector<float> values(static_cast<std::size_t>(cols));
    for (float& value : values) value = zeros ? 0.0F : static_cast<float>(rng.normal());
    std::vector<std::byte> blocks(static_cast<std::size_t>(format.row_bytes(cols)));
    format.encode(values, {}, blocks.data());
    change(blocks.data());
    const fs::path path = folder_ / "m.gguf";
    const std::vector<PlannedTensor> plan = {
        {.name = "blk.0.ffn_up.weight", .type = {.block = &format}, .shape = {1, cols}}};
    auto writer = create_gguf(path, plan, {}).value();
    EXPECT_TRUE(writer->write(0, blocks).has_value());
    EXPECT_TRUE(writer->commit().has_value());
    const auto container = open_container(path).value();
    return find_damage(*container, container->tensors()[0]);
  }
};

TEST_F(TensorDamage, BlocksAsWrittenAreSound) {
  for (const BlockFormat* format : block_formats()) {
    if (format->encode == nullptr) continue;
    EXPECT_EQ(damage_of(*format, [](std::byte*) {}), "") << format->name;
    EXPECT_EQ(damage_of(*format, [](std::byte*) {}, true), "") << format->name << ", zeros";
  }
}

TEST_F(TensorDamage, AZeroScaleOverCodesIsFound) {
  for (const auto& [name, at] : {std::pair{"q4_0", 0}, {"q8_0", 0}, {"q6_k", 208}, {"iq4_xs", 0}}) {
    const BlockFormat& format = *block_format_by_name(name);
    const auto found = damage_of(format, [&](std::byte* blocks) {
      blocks[format.block_bytes + at] = blocks[format.block_bytes + at + 1] = std::byte{0};
    });
    EXPECT_THAT(found, HasSubstr("a zero scale over codes in block 1 of row 0")) << name;
  }
}

TEST_F(TensorDamage, CodesAndScalesThatATypeDoesNotHaveAreFound) {
  EXPECT_THAT(damage_of(*block_format_by_name("tq2_0"),
                        [](std::byte* blocks) { blocks[5] = std::byte{0x0C}; }),
              HasSubstr("tq2_0 does not have in block 0"));
  for (const int scale : {0x7F, 0x80, 0xFF}) {
    EXPECT_THAT(damage_of(*block_format_by_name("nvfp4"),
                          [&](std::byte* blocks) { blocks[2] = static_cast<std::byte>(scale); }),
                HasSubstr("nvfp4 does not have in block 0"));
  }
}

TEST_F(TensorDamage, InfiniteScalesAreFound) {
  EXPECT_THAT(damage_of(*block_format_by_name("q4_0"),
                        [](std::byte* blocks) {
                          blocks[0] = std::byte{0};
                          blocks[1] = std::byte{0x7C};
                        }),
              HasSubstr("NaN or infinity in row 0, column 0"));
}

}  // namespace
}  // namespace quantlane
